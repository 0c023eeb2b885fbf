"""Runs as a lab's instrument might export them, for the probe: small, simulated, none of them described anywhere."""

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from edge_ctc.simulate import CHANNELS, simulate_cells

TOKENS = ("Ch1", "Ch2", "Ch3", "Ch4")
"""In the order of the simulator's channels: BF, DAPI, PE, APC."""


def cells_of(count: int, seed: int = 3) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """(number from 1, counts (4, 64, 64)) of simulated cells."""
    for cell in simulate_cells(count, min(3, count), seed):
        yield cell.number, cell.images


def german_flat(folder: Path, count: int = 20, tokens: Sequence[str] = TOKENS) -> Path:
    """`Einzelzell Bilder (Export)/Zelle_0001_Ch1.TIF`, `Zellübersicht.csv` in cp1252, and what else lies about."""
    images = folder / "Einzelzell Bilder (Export)"
    images.mkdir(parents=True)
    for number, counts in cells_of(count):
        for token, channel in zip(tokens, counts, strict=True):
            tifffile.imwrite(
                images / f"Zelle_{number:04d}_{token}.TIF", channel, photometric="minisblack", metadata=None
            )
    rows = [
        [str(n), str((n - 1) // 10 + 1), str((n - 1) % 10 + 1), f"{60 + n / 8:.2f}".replace(".", ",")]
        for n in range(1, count + 1)
    ]
    write_table(
        folder / "Zellübersicht.csv", [["Zelle Nr.", "Käfig Zeile", "Käfig Spalte", "Fläche µm²"], *rows], "cp1252", ";"
    )
    (folder / "FERTIG.ok").write_bytes(b"")
    (folder / "Thumbs.db").write_bytes(b"x")
    return folder


def italian_per_cell(folder: Path, count: int = 12, planes: Sequence[int] = (0, 1, 2)) -> Path:
    """`Cellula_00001/CampoChiaro_z0.png`, focal planes in bright field alone."""
    names = ("CampoChiaro", "Blu", "Arancione", "Rosso")
    for number, counts in cells_of(count):
        cell = folder / f"Cellula_{number:05d}"
        cell.mkdir(parents=True)
        for name, channel in zip(names, counts, strict=True):
            if name == "CampoChiaro":
                for plane in planes:
                    Image.fromarray(np.roll(channel, plane)).save(cell / f"{name}_z{plane}.png")
            else:
                Image.fromarray(channel).save(cell / f"{name}.png")
    return folder


def multipage(folder: Path, count: int = 12, names: Sequence[str] = ()) -> Path:
    """`thumbs/1_thumb.tif` of four pages and `thumbs/1_segm.tif` of one; OME-TIFF where `names` are given."""
    (folder / "thumbs").mkdir(parents=True)
    for number, counts in cells_of(count):
        path = folder / "thumbs" / f"{number}_thumb.{'ome.' if names else ''}tif"
        options: dict[str, Any] = {"photometric": "minisblack", "metadata": None}
        if names:
            options = {
                "photometric": "minisblack",
                "ome": True,
                "metadata": {"axes": "CYX", "Channel": {"Name": list(names)}},
            }
        tifffile.imwrite(path, counts, **options)
        mask = (counts[1] > 400).astype(np.uint8)
        tifffile.imwrite(folder / "thumbs" / f"{number}_segm.tif", mask, photometric="minisblack", metadata=None)
    (folder / "DONE.txt").write_text("done\n")
    return folder


def montage(folder: Path, count: int = 12, gutter: int = 2, border: int = 2) -> Path:
    """`RUN_cell-00001.png`: four panels in a row, 8 bit, each stretched to be looked at."""
    folder.mkdir(parents=True)
    for number, counts in cells_of(count):
        panels = [_stretched(channel) for channel in counts]
        side = panels[0].shape[0]
        width = 2 * border + len(panels) * side + (len(panels) - 1) * gutter
        picture = np.zeros((side + 2 * border, width), np.uint8)
        for place, panel in enumerate(panels):
            left = border + place * (side + gutter)
            picture[border : border + side, left : left + side] = panel
        Image.fromarray(picture).save(folder / f"{folder.name}_cell-{number:05d}.png")
    return folder


def _stretched(counts: NDArray[np.uint16]) -> NDArray[np.uint8]:
    low, high = int(counts.min()), int(counts.max())
    return ((counts.astype(np.float64) - low) / (high - low) * 255).astype(np.uint8)


def write_table(path: Path, rows: Sequence[Sequence[str]], encoding: str, delimiter: str) -> None:
    """A table as text."""
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def answered(text: str, answers: Mapping[str, str], channels: Sequence[tuple[str, str]]) -> str:
    """A proposal with its questions answered: keys by name, then name and marker of each channel in the file's order.

    Args:
        text: the proposal.
        answers: TOML value by key; "" takes the key's line out.
        channels: (name, marker) in the order of the proposal.
    """
    lines = []
    names = iter(channels)
    marker = ""
    for line in text.splitlines():
        key = line.partition(" = ")[0]
        if line == 'name = "?"':
            name, marker = next(names)
            lines.append(f'name = "{name}"')
        elif line == 'marker = "?"':
            lines.append(f'marker = "{marker}"')
        elif key in answers and '"?"' in line:
            if answers[key]:
                lines.append(f"{key} = {answers[key]}")
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


SIMULATED = tuple(zip(CHANNELS, ("bright field", "nucleus", "CK", "CD45"), strict=True))
"""(name, marker) in the order of the simulator's channels."""


def with_bytes(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder that holds these files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def copied(image: Path, folder: Path, names: Sequence[str]) -> Path:
    """A folder that holds one image under these names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, path)
    return folder
