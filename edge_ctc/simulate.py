"""Simulated DEPArray runs with known truth: for the demo, the tests and the benchmarks.

One seed is one patient. Bright field is a phase object that Fresnel propagation carries out of
focus; the fluorescence channels are projected stains behind a defocused, Gaussian point spread.
Lengths are in um, intensities in counts of a 12-bit camera. Each figure names its source:

- [size] Mol Oncol 2020, doi 10.1002/1878-0261.12802: median diameters of CTCs 7.5 (colorectal),
  8.6 (bladder), 10.3 (prostate), 12.4 (breast), of leukocytes 9.4, all overlapping.
- [blood] Biomicrofluidics 2019, doi 10.1063/1.5087690, Table II: lymphocytes from 7, neutrophils
  from 10, monocytes largest. Ours are smaller: spheres in suspension, pooled to 9.4.
- [index] PMC5647217: the nucleus refracts less than the cytoplasm.
- [textbook] what haematology and microscopy courses teach.
- [assumed] nobody has published it; set so that a network has to work (see tests/test_simulate.py).
"""

import csv
import functools
import io
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import numpy as np
import tifffile
from numpy.typing import NDArray

from edge_ctc.errors import ConfigError, ResultsError

CHANNELS = ("BF", "DAPI", "PE", "APC")
PIXEL_SIZE_UM = 0.5
SIDE_PX = 64

_Plane = NDArray[np.floating[Any]]
_FULL_SCALE = 4095
_CAGES_PER_ROW = 40
# A 20x objective with its condenser nearly closed, in green light [assumed].
_WAVELENGTH, _APERTURE, _CONDENSER = 0.55, 0.4, 0.08

_axis = (np.arange(SIDE_PX, dtype=np.float32) - (SIDE_PX - 1) / 2) * np.float32(PIXEL_SIZE_UM)
_Y, _X = np.meshgrid(_axis, _axis, indexing="ij")
_frequency = np.fft.fftfreq(SIDE_PX, PIXEL_SIZE_UM).astype(np.float32)
_Q2 = _frequency[:, None] ** 2 + _frequency[None, :] ** 2
_Q2_HALF = _Q2[:, : SIDE_PX // 2 + 1]
_PUPIL = (_Q2 < (_APERTURE / _WAVELENGTH) ** 2).astype(np.float32)
# Granules and clumps of keratin, then chromatin: Gaussian grains of these sigmas [assumed].
_COARSE, _FINE = (np.exp(-2 * (np.pi * sigma) ** 2 * _Q2_HALF) for sigma in (0.45, 0.3))
# A cell's membrane is stiff: fine waves of the outline are lower than coarse ones [assumed].
_WAVES = np.array([[1.0], [0.55], [0.35], [0.2]])


class Layout(StrEnum):
    """How a simulated run lies on the disk."""

    FLAT = "flat"
    MULTIPAGE = "multipage"


@dataclass(frozen=True, slots=True)
class SimulatedCell:
    """One cell and the truth about it.

    Attributes:
        number: 1..N, the place in the run.
        label: `CTC` or `LEUKOCYTE`; doublets, debris and dead cells count as leukocytes.
        kind: What it was made as, such as `ctc_marker_low` or `granulocyte`.
        diameter_um: Diameter of the disc with the area of all bodies of the cell together.
        images: uint16 `(4, 64, 64)` in the order of `CHANNELS`, counts 0..4095.
    """

    number: int
    label: str
    kind: str
    diameter_um: float
    images: NDArray[np.uint16]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """What one kind of cell is made of; strengths vary from cell to cell by about 30 %.

    Attributes:
        diameter: Median in um; of a CTC, in units of the patient's CTC median.
        spread: Standard deviation of the log diameter.
        lobes: Number of nuclear lobes, side by side along an arc.
        lobe: Radius of a lobe over the radius of the cell.
        arc: Distance of the lobes from the centre over the radius of the cell.
        rough: Relative height of the coarsest waves of the outline.
        index: Refractive index above the medium's.
        grain: Phase of the granules in rad.
        dapi: DAPI, 1 is a lymphocyte's nucleus.
        ck: CK, 1 is the patient's CTC level.
        cd45: CD45, 1 is the patient's lymphocyte level.
        sticky_ck: Probability that CK antibody sticks where no CK is.
        sticky_cd45: Probability that CD45 antibody, or a shred of a leukocyte, sticks.
    """

    diameter: float
    spread: float
    lobes: int
    lobe: float
    arc: float
    rough: float
    index: float
    grain: float
    dapi: float
    ck: float
    cd45: float
    sticky_ck: float = 0.0
    sticky_cd45: float = 0.0


# Enrichment leaves the large leukocytes [textbook]; the shares are [assumed].
_CTC_SHARES = {"ctc": 0.62, "ctc_bland": 0.20, "ctc_marker_low": 0.18}
_LEUKOCYTE_SHARES = {
    "lymphocyte": 0.30,
    "granulocyte": 0.28,
    "monocyte": 0.20,
    "doublet": 0.08,
    "debris": 0.07,
    "dead": 0.07,
}
_SINGLE_LEUKOCYTES = ("lymphocyte", "granulocyte", "monocyte")
# Diameters [size] [blood]; lobes, arcs, large CTC nuclei, dim CD45 of granulocytes [textbook];
# everything else [assumed].
_RECIPES = {
    "ctc": _Recipe(
        diameter=1.0, spread=0.15, lobes=1, lobe=0.76, arc=0.12, rough=0.110, index=0.036,
        grain=0.22, dapi=0.95, ck=1.0, cd45=0.05, sticky_cd45=0.07,
    ),
    "ctc_bland": _Recipe(
        diameter=0.97, spread=0.13, lobes=1, lobe=0.66, arc=0.10, rough=0.040, index=0.030,
        grain=0.20, dapi=0.95, ck=0.9, cd45=0.05, sticky_cd45=0.07,
    ),
    "ctc_marker_low": _Recipe(
        diameter=1.0, spread=0.15, lobes=1, lobe=0.76, arc=0.12, rough=0.105, index=0.036,
        grain=0.22, dapi=0.95, ck=0.15, cd45=0.05, sticky_cd45=0.07,
    ),
    "lymphocyte": _Recipe(
        diameter=7.9, spread=0.09, lobes=1, lobe=0.80, arc=0.06, rough=0.020, index=0.027,
        grain=0.14, dapi=1.0, ck=0.03, cd45=1.0, sticky_ck=0.06,
    ),
    "granulocyte": _Recipe(
        diameter=10.1, spread=0.10, lobes=3, lobe=0.36, arc=0.42, rough=0.025, index=0.027,
        grain=0.40, dapi=1.1, ck=0.06, cd45=0.16, sticky_ck=0.20,
    ),
    "monocyte": _Recipe(
        diameter=11.0, spread=0.12, lobes=3, lobe=0.46, arc=0.36, rough=0.040, index=0.026,
        grain=0.24, dapi=0.9, ck=0.06, cd45=0.60, sticky_ck=0.25,
    ),
    "debris": _Recipe(
        diameter=4.5, spread=0.35, lobes=0, lobe=0.0, arc=0.0, rough=0.160, index=0.032,
        grain=0.30, dapi=0.0, ck=0.5, cd45=0.20,
    ),
    "dead": _Recipe(
        diameter=8.6, spread=0.16, lobes=2, lobe=0.34, arc=0.28, rough=0.060, index=0.033,
        grain=0.60, dapi=1.5, ck=0.18, cd45=0.30, sticky_ck=0.15,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    """What all cells of a run share: the tumour, the staining, the instrument's day.

    Attributes:
        ctc_um: Median CTC diameter [size].
        dapi: Counts of DAPI in the nucleus of a lymphocyte [assumed], as all that follow.
        ck: Counts of CK in a CTC.
        cd45: Counts of CD45 on a lymphocyte.
        light: Bright-field background in counts.
        tilt: Relative slope of the illumination, centre to edge, `(2,)`.
        haze: Fluorescence background in counts, `(3,)`.
        bleed: Share of PE that APC shows.
        focus: Mean and standard deviation of the cells' defocus.
        gain: Camera gain, `(4,)`.
        offset: Camera offset in counts, `(4,)`.
    """

    ctc_um: float
    dapi: float
    ck: float
    cd45: float
    light: float
    tilt: tuple[float, float]
    haze: _Plane
    bleed: float
    focus: tuple[float, float]
    gain: _Plane
    offset: _Plane

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Draw one patient."""
        return cls(
            ctc_um=rng.uniform(7.5, 12.4),
            dapi=900 * rng.lognormal(0, 0.20),
            ck=700 * rng.lognormal(0, 0.25),
            cd45=560 * rng.lognormal(0, 0.22),
            light=rng.uniform(1500, 2300),
            tilt=(rng.normal(0, 0.02), rng.normal(0, 0.02)),
            haze=(np.array([60, 80, 70]) * rng.lognormal(0, 0.4, 3)).astype(np.float32),
            bleed=rng.uniform(0.01, 0.06),
            focus=(rng.uniform(-3.0, 3.0), rng.uniform(1.5, 3.0)),
            gain=rng.lognormal(0, 0.15, 4).astype(np.float32),
            offset=rng.uniform(60, 140, 4).astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class _Body:
    """One round thing in the field: what it is made of, its radius, its centre, in um."""

    recipe: _Recipe
    radius: float
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class _Form:
    """A body seen through: planes `(64, 64)`, thickness relative to a ball's middle.

    Attributes:
        inside: 1 in the body, 0 outside.
        ball: Thickness of the whole body.
        rim: The membrane seen edge-on.
        nucleus: Thickness of the nucleus.
        coarse: Granules, mean 0, standard deviation 1.
        fine: Chromatin, mean 0, standard deviation 1.
    """

    inside: _Plane
    ball: _Plane
    rim: _Plane
    nucleus: _Plane
    coarse: _Plane
    fine: _Plane


def simulate_cells(cells: int, ctcs: int, seed: int) -> Iterator[SimulatedCell]:
    """Simulate one patient's cells, in the order of their numbers.

    Args:
        cells: How many cells, CTCs included.
        ctcs: How many of them are CTCs.
        seed: The patient. The same three figures give the same pixels.

    Raises:
        ConfigError: Counts that no run can have, or a negative seed.
    """
    _check_counts(cells, ctcs, seed)
    patient = _Patient.draw(_stream(seed, 0, 0))
    chosen = frozenset((_stream(seed, 0, 1).choice(cells, ctcs, replace=False) + 1).tolist())
    return (
        _cell(number, number in chosen, patient, _stream(seed, number))
        for number in range(1, cells + 1)
    )


def _check_counts(cells: int, ctcs: int, seed: int) -> None:
    if cells < 1:
        raise ConfigError(f"cells: found {cells}, expected 1 or more; ask for at least one cell")
    if not 0 <= ctcs <= cells:
        raise ConfigError(f"ctcs: found {ctcs}, expected 0 to {cells}, the cells; ask for fewer")
    if seed < 0:
        raise ConfigError(f"seed: found {seed}, expected 0 or more; choose another seed")


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _cell(number: int, is_ctc: bool, patient: _Patient, rng: np.random.Generator) -> SimulatedCell:
    kind = _pick(_CTC_SHARES if is_ctc else _LEUKOCYTE_SHARES, rng)
    bodies = _bodies(kind, patient.ctc_um if is_ctc else 1.0, rng)
    phase = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    stains = np.zeros((3, SIDE_PX, SIDE_PX), np.float32)
    for body in bodies:
        form = _form(body, rng)
        phase += _phase(body, form, rng)
        stains += _stains(body, form, patient, rng)
    defocus = rng.normal(*patient.focus)
    bright = _bright_field(phase, defocus, patient)
    light = np.concatenate([bright[None], _fluorescence(stains, defocus, patient, rng)])
    return SimulatedCell(
        number=number,
        label="CTC" if is_ctc else "LEUKOCYTE",
        kind=kind,
        diameter_um=2 * sum(body.radius**2 for body in bodies) ** 0.5,
        images=_expose(light, patient, rng),
    )


def _pick(shares: dict[str, float], rng: np.random.Generator) -> str:
    edges = list(itertools.accumulate(shares.values()))
    return list(shares)[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]


def _bodies(kind: str, unit_um: float, rng: np.random.Generator) -> list[_Body]:
    x, y = rng.normal(0, 0.8, 2).tolist()
    if kind == "doublet":
        return _doublet(x, y, rng)
    return [_body(kind, unit_um, x, y, rng)]


def _body(kind: str, unit_um: float, x: float, y: float, rng: np.random.Generator) -> _Body:
    recipe = _RECIPES[kind]
    radius = 0.5 * unit_um * recipe.diameter * rng.lognormal(0, recipe.spread)
    return _Body(recipe, radius, x, y)


def _doublet(x: float, y: float, rng: np.random.Generator) -> list[_Body]:
    """Two leukocytes that touch, one pair in three with a speck of CK debris [assumed]."""
    kinds = [_SINGLE_LEUKOCYTES[place] for place in rng.integers(3, size=2)]
    first, second = (_body(kind, 1.0, 0.0, 0.0, rng) for kind in kinds)
    apart, angle = 0.46 * (first.radius + second.radius), rng.uniform(0, 2 * np.pi)
    dx, dy = apart * float(np.cos(angle)), apart * float(np.sin(angle))
    pair = [
        _Body(first.recipe, first.radius, x - dx, y - dy),
        _Body(second.recipe, second.radius, x + dx, y + dy),
    ]
    if rng.random() < 0.35:
        pair.append(_body("debris", 0.5, x + dy, y - dx, rng))
    return pair


def _form(body: _Body, rng: np.random.Generator) -> _Form:
    distance, edge = _outline(body, body.recipe.rough, rng)
    inside = np.clip((edge - distance) / PIXEL_SIZE_UM + 0.5, 0, 1)
    return _Form(
        inside=inside,
        ball=_ball(distance, edge),
        rim=inside * np.exp(-(((edge - distance - 0.4) / 0.7) ** 2)),
        nucleus=_nucleus(body, rng) * inside,
        coarse=_texture(_COARSE, rng),
        fine=_texture(_FINE, rng),
    )


def _outline(body: _Body, rough: float, rng: np.random.Generator) -> tuple[_Plane, _Plane]:
    """Give each pixel's distance from the centre, and the outline's in its direction."""
    offset = (_X - body.x) + np.complex64(1j) * (_Y - body.y)
    distance = np.abs(offset)
    direction = offset / np.maximum(distance, np.float32(1e-3))
    waves = ((rng.normal(0, rough, (4, 2)) * _WAVES) @ [1, 1j]).astype(np.complex64)
    height = np.zeros_like(direction)
    for wave in waves[::-1]:
        height = (height + wave) * direction
    return distance, body.radius * np.maximum(1 + (height * direction).real, np.float32(0.3))


def _ball(distance: _Plane, edge: _Plane) -> _Plane:
    thickness: _Plane = np.sqrt(np.clip(1 - (distance / edge) ** 2, 0, 1))
    return thickness


def _nucleus(body: _Body, rng: np.random.Generator) -> _Plane:
    recipe = body.recipe
    turn, step = rng.uniform(0, 2 * np.pi), rng.normal(1.15, 0.15)
    radius = body.radius * min(0.9, recipe.lobe * rng.lognormal(0, 0.08))
    reach = recipe.arc * body.radius
    nucleus: _Plane = np.zeros_like(_X)
    for angle in (turn + step * np.arange(recipe.lobes)).tolist():
        x, y = body.x + reach * float(np.cos(angle)), body.y + reach * float(np.sin(angle))
        lobe = _Body(recipe, radius, x, y)
        nucleus = np.maximum(nucleus, _ball(*_outline(lobe, 0.04, rng)))
    return nucleus


def _texture(envelope: _Plane, rng: np.random.Generator) -> _Plane:
    real, imaginary = rng.standard_normal((2, *envelope.shape), np.float32)
    plane: _Plane = np.fft.irfft2((real + np.complex64(1j) * imaginary) * envelope)
    plane /= plane.std()
    return plane


def _phase(body: _Body, form: _Form, rng: np.random.Generator) -> _Plane:
    """Give the phase in rad that the body adds; the nucleus refracts less [index]."""
    recipe = body.recipe
    nuclear, granular = rng.lognormal(0, 0.3, 2).tolist()
    waves = 2 * np.pi / _WAVELENGTH * 2 * body.radius
    bulk = recipe.index * form.ball - 0.010 * nuclear * recipe.lobe * form.nucleus
    grains = recipe.grain * granular * form.coarse + 0.12 * form.fine * form.nucleus
    phase: _Plane = waves * bulk + grains * form.ball
    return phase


def _stains(
    body: _Body, form: _Form, patient: _Patient, rng: np.random.Generator
) -> _Plane:
    """Give the light of DAPI, CK and CD45 that the body sends, `(3, 64, 64)` in counts."""
    recipe = body.recipe
    dapi, ck, cd45 = rng.lognormal(0, (0.3, 0.45, 0.40)).tolist()
    stuck = rng.lognormal(-1.2, 0.6, 2) * (rng.random(2) < (recipe.sticky_ck, recipe.sticky_cd45))
    own_glow = 8 * body.radius
    keratin = patient.ck * (recipe.ck * ck + float(stuck[0])) + own_glow
    membrane = patient.cd45 * (recipe.cd45 * cd45 + float(stuck[1]))
    cytoplasm = np.maximum(form.ball - 0.7 * recipe.lobe * form.nucleus, 0.05 * form.inside)
    return np.stack([
        patient.dapi * recipe.dapi * dapi * form.nucleus * np.maximum(1 + 0.25 * form.fine, 0),
        keratin * cytoplasm * np.maximum(1 + 0.35 * form.coarse, 0),
        membrane * (0.75 * form.rim + 0.35 * form.inside) * np.maximum(1 + 0.3 * form.fine, 0),
    ])


def _bright_field(phase: _Plane, defocus: float, patient: _Patient) -> _Plane:
    damping = (np.pi * _CONDENSER * defocus) ** 2
    transfer = np.exp(np.complex64(-damping - 1j * np.pi * _WAVELENGTH * defocus) * _Q2)
    wave = np.fft.ifft2(np.fft.fft2(np.exp(np.complex64(1j) * phase)) * _PUPIL * transfer)
    slope = (patient.tilt[0] * _X + patient.tilt[1] * _Y) / _X[0, -1]
    bright: _Plane = patient.light * (1 + slope) * np.abs(wave) ** 2
    return bright


def _fluorescence(
    stains: _Plane, defocus: float, patient: _Patient, rng: np.random.Generator
) -> _Plane:
    """Blur each stain by its own focus, a little apart for each colour [assumed]."""
    sigma = np.hypot(0.35, 0.18 * (defocus + rng.normal(0, 0.3, 3))).astype(np.float32)
    spread = np.exp(-2 * (np.pi * sigma[:, None, None]) ** 2 * _Q2_HALF)
    glow: _Plane = np.fft.irfft2(np.fft.rfft2(stains) * spread)
    glow[2] += patient.bleed * glow[1]
    glow += patient.haze[:, None, None]
    return glow


def _expose(light: _Plane, patient: _Patient, rng: np.random.Generator) -> NDArray[np.uint16]:
    # Shot noise is drawn as a normal of Poisson's variance: at these counts nobody can tell the
    # two apart, and Poisson would take half of the time that a cell may take.
    noise = np.sqrt(0.5 * np.maximum(light, 0) + 16) * rng.standard_normal(light.shape, np.float32)
    counts = (light + noise) * patient.gain[:, None, None] + patient.offset[:, None, None]
    return np.clip(np.rint(counts), 0, _FULL_SCALE).astype(np.uint16)


def write_run(  # noqa: PLR0913, PLR0917 - one for each option of the command line
    out: Path,
    cells: int,
    ctcs: int,
    seed: int,
    layout: Layout,
    rate: float | None = None,
    advanced: Callable[[int], None] | None = None,
) -> None:
    """Write one simulated run, `cells.csv` last, and its truth beside it, `<OUT>.truth.csv`.

    Args:
        out: The run's folder; absent or empty. The truth of an earlier run there is replaced.
        cells: How many cells, CTCs included.
        ctcs: How many of them are CTCs.
        seed: The patient; the layout changes nothing about the cells.
        layout: How the run lies on the disk.
        rate: Cells per second, as a scanner would export them; None is as fast as possible.
        advanced: Told how many cells are written, after each.

    Raises:
        ConfigError: Counts that no run can have, a negative seed, or a rate that is not above 0.
        ResultsError: The folder holds something already, or cannot be written.
    """
    simulated = simulate_cells(cells, ctcs, seed)
    if rate is not None and not rate > 0:
        raise ConfigError(f"rate: found {rate}, expected above 0 cells a second; or leave it out")
    try:
        _refuse_old(out)
        truth = _write_cells(out, _paced(simulated, rate), _names(cells, layout), layout, advanced)
        _write_table(out.with_name(out.name + ".truth.csv"), ("cell_id", "label"), truth)
        _write_table(out / "cells.csv", ("cell_id", "cage_row", "cage_col"), _cages(truth))
    except OSError as error:
        raise ResultsError(
            f"{out}: found that it cannot be written ({error}), expected a writable place; "
            "free it or choose another"
        ) from error


def _refuse_old(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ResultsError(
            f"{out}: found something there already, expected no folder or an empty one; "
            "remove it or choose another"
        )


def _names(cells: int, layout: Layout) -> list[str]:
    """Give the cell ids as they stand in the file names: only the flat layout pads them."""
    digits = max(4, len(str(cells))) if layout is Layout.FLAT else 1
    return [f"{number:0{digits}d}" for number in range(1, cells + 1)]


def _paced(simulated: Iterator[SimulatedCell], rate: float | None) -> Iterator[SimulatedCell]:
    start = time.monotonic()
    for cell in simulated:
        if rate is not None:
            time.sleep(max(0.0, start + (cell.number - 1) / rate - time.monotonic()))
        yield cell


def _write_cells(
    out: Path,
    simulated: Iterable[SimulatedCell],
    names: list[str],
    layout: Layout,
    advanced: Callable[[int], None] | None,
) -> list[tuple[str, ...]]:
    """Write every cell's files, and give the rows of the truth."""
    folder = out / ("Images" if layout is Layout.FLAT else "thumbs")
    folder.mkdir(parents=True)
    truth: list[tuple[str, ...]] = []
    for cell, name in zip(simulated, names, strict=True):
        for file, pages in _files(name, cell.images, layout):
            (folder / file).write_bytes(_tiff(pages))
        truth.append((name, cell.label))
        if advanced is not None:
            advanced(cell.number)
    return truth


def _files(
    name: str, images: NDArray[np.uint16], layout: Layout
) -> Iterator[tuple[str, NDArray[np.uint16]]]:
    match layout:
        case Layout.FLAT:
            for channel, image in zip(CHANNELS, images, strict=True):
                yield f"{name}_{channel}.tif", image[None]
        case Layout.MULTIPAGE:
            yield f"{name}_thumb.tif", images


def _tiff(pages: NDArray[np.uint16]) -> bytes:
    data = bytearray(_blank_tiff(len(pages)).data)
    for offset, page in zip(_blank_tiff(len(pages)).offsets, pages, strict=True):
        data[offset : offset + page.nbytes] = page.astype("<u2").tobytes()
    return bytes(data)


@dataclass(frozen=True, slots=True)
class _BlankTiff:
    """An uncompressed TIFF of black pages, and where in it the pixels of each page start."""

    data: bytes
    offsets: tuple[int, ...]


# Pixels are copied into a ready file: tifffile needs 2 ms for four new ones, this 0.1 ms.
@functools.cache
def _blank_tiff(pages: int) -> _BlankTiff:
    stream = io.BytesIO()
    black = np.zeros((pages, SIDE_PX, SIDE_PX), np.uint16)
    tifffile.imwrite(
        stream, black, photometric="minisblack", byteorder="<", metadata=None, software=False
    )
    stream.seek(0)
    with tifffile.TiffFile(stream) as tiff:
        return _BlankTiff(stream.getvalue(), tuple(page.dataoffsets[0] for page in tiff.pages))


def _cages(truth: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    for place, (name, _) in enumerate(truth):
        row, column = divmod(place, _CAGES_PER_ROW)
        yield name, str(row + 1), str(column + 1)


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
