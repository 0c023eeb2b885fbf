"""Whatever files are called, the probe does not fall over them, and its proposal is TOML that is refused."""

import os
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_ctc.errors import ConfigError
from edge_ctc.exports.profile import load_profile
from edge_ctc.exports.questions import unanswered
from edge_ctc.exports.runs import read_run
from edge_ctc.probe.family import find_family
from edge_ctc.probe.groups import Group, groups_of
from edge_ctc.probe.proposal import propose
from edge_ctc.probe.survey import Survey, survey
from edge_ctc.probe.templates import find_templates
from edge_ctc.probe.toml_text import comment, quoted
from tests.conftest import EdgeCtc
from tests.images import some_counts, tiff
from tests.probe_runs import with_bytes

IMAGE = tiff(some_counts())
HOSTILE = (
    "line\nbreak",
    "right\u202eot tfel",
    'quo"te\\back',
    "=cmd|' /C calc'!A0",
    "{cell_id}",
    "[red]bold[/red]",
    "x" * 200,
    "'''",
    "tab\there",
    "\x1b[31mred",
)


class Silent:
    def listed(self, files: int) -> None:
        pass

    def decoding(self, files: int) -> None:
        pass

    def advanced(self, files: int) -> None:
        pass


def surveyed(names: Iterable[str]) -> tuple[Survey, list[Group]]:
    with tempfile.TemporaryDirectory() as place:
        found = survey(with_bytes(Path(place), dict.fromkeys(names, IMAGE)), Silent())
        return found, groups_of(found)


PARTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=8)
NAMES = st.one_of(
    st.from_regex(r"\A(a/|Cell_[0-9]/)?[0-9]{1,3}_(BF|PE|PerCP|z[0-3])(_z[0-3])?\.(tif|TIFF|png)\Z"),
    st.tuples(PARTS, st.sampled_from([".tif", ".png", ".bmp", ".csv", ".xlsx", "", ".txt"])).map("".join),
    st.tuples(PARTS, PARTS, st.sampled_from(["_1.tif", "_2.tif", "_33.TIF"])).map(
        lambda one: f"{one[0]}/{one[1]}{one[2]}"
    ),
).filter(lambda name: not {".", ".."} & set(name.split("/")) and len(os.fsencode(name)) < 200)


def without_clashes(names: Iterable[str]) -> set[str]:
    found = set(names)
    return {name for name in found if not any(other.startswith(name + "/") for other in found)}


@given(st.sets(NAMES, min_size=1, max_size=30).map(without_clashes))
@example({f"{name}{number}.tif" for name in HOSTILE for number in range(3)})
@example({"1.tif"})
@example({"{}1_.tif", "{}2_.tif"})
@example({"1_a.tif", "1_A.TIF", "01_a.tiff"})
@settings(max_examples=120, deadline=None)
def test_whatever_the_names_the_proposal_is_toml_that_is_refused(names: set[str]) -> None:
    found, groups = surveyed(names)
    assert sum(group.count for group in groups) == len(names)
    if found.layout is None:
        return
    text = propose(found, groups).text
    parsed = tomllib.loads(text)
    assert all(line.isprintable() for line in text.splitlines())
    assert unanswered(text.encode())
    assert all(channel["name"] == "?" for channel in parsed["channels"])
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "p.toml"
        path.write_text(text, "utf-8")
        with pytest.raises(ConfigError):
            load_profile(str(path))


@given(st.text())
def test_any_text_is_the_same_text_once_it_was_toml(text: str) -> None:
    expected = "".join("�" if 0xD800 <= ord(char) <= 0xDFFF else char for char in text)
    assert tomllib.loads(f"key = {quoted(text)}") == {"key": expected}
    assert tomllib.loads("\n".join([*comment(text), "key = 1"])) == {"key": 1}


def test_a_byte_that_is_no_utf8_is_no_reason_to_fail() -> None:
    names = [os.fsdecode(b"Zelle\xfc_%d.tif" % number) for number in range(12)]
    found, groups = surveyed([*names, *(f"{number}_a.tif" for number in range(20))])
    text = propose(found, groups).text
    assert tomllib.loads(text)["ignore"] == ["?"]
    assert '"Zelle?_*.tif"' in text


def test_hostile_names_are_shown_escaped(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    files = {f"{name}{number}_BF.tif": IMAGE for name in HOSTILE for number in range(12)}
    finished = edge_ctc("probe", with_bytes(tmp_path / "P\u202e07\n", files))
    assert finished.code == 0, finished.err
    assert all(line.isprintable() for line in (finished.out + finished.err).splitlines())
    assert "line\\nbreak" in finished.out
    (place,) = tmp_path.glob("*.ctc-probe")
    tomllib.loads((place / "profile.toml").read_text("utf-8"))
    for sheet in place.glob("*.png"):
        assert sheet.name.isascii()


def test_a_name_of_255_bytes_is_read(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    token = "T" * (255 - len("0001_.tif"))
    files = {f"{number:04d}_{one}.tif": IMAGE for number in range(1, 13) for one in (token, "BF")}
    finished = edge_ctc("probe", with_bytes(tmp_path / "P07", files))
    assert finished.code == 0, finished.err
    proposal = tomllib.loads((tmp_path / "P07.ctc-probe" / "profile.toml").read_text())
    assert [channel["token"] for channel in proposal["channels"]] == ["BF", token]


@pytest.mark.parametrize(
    ("names", "patterns", "tokens"),
    [
        (["{n:04d}_BF.tif", "{n:04d}_PE-Cy7.tif"], ["{cell_id}_{channel}.tif"], ["BF", "PE-Cy7"]),
        (["BF_{n}.tif", "DAPI_{n}.tif"], ["{channel}_{cell_id}.tif"], ["BF", "DAPI"]),
        (["BF/{n}_BF.tif", "PE/{n}_PE.tif"], ["*/{cell_id}_{channel}.tif"], ["BF", "PE"]),
        (["C{n}/C{n}_BF.png", "C{n}/C{n}_PE.png"], ["C{cell_id}/C{cell_id}_{channel}.png"], ["BF", "PE"]),
        (["cell {n} (Ch1).bmp", "cell {n} (Ch2).bmp"], ["cell {cell_id} ({channel}).bmp"], ["Ch1", "Ch2"]),
        (["{n}_BF_raw.tif", "{n}_PE_raw.tif"], ["{cell_id}_{channel}_raw.tif"], ["BF", "PE"]),
        (
            ["{n}_BF_z-1.tif", "{n}_BF_z0.tif", "{n}_PE.tif"],
            ["{cell_id}_{channel}_z{plane}.tif", "{cell_id}_{channel}.tif"],
            ["BF", "PE"],
        ),
        (
            ["{n}_z0_BF.tif", "{n}_z1_BF.tif", "{n}_z0_PE.tif", "{n}_z1_PE.tif"],
            ["{cell_id}_z{plane}_{channel}.tif"],
            ["BF", "PE"],
        ),
        (["{n}_CD-4.tif", "{n}_CD-8.tif"], ["{cell_id}_CD-{channel}.tif"], ["4", "8"]),
        (
            ["{n:08x}-1234-4abc-8def-{n:012x}_BF.tif", "{n:08x}-1234-4abc-8def-{n:012x}_PE.tif"],
            ["{cell_id}_{channel}.tif"],
            ["BF", "PE"],
        ),
        (["{n}_BF.tif", "{n}_PE.png"], ["{cell_id}_{channel}.png", "{cell_id}_{channel}.tif"], ["BF", "PE"]),
        (["a/{n:05d}_Ch1.TIF", "a/{n:05d}_ch2.tif"], ["a/{cell_id}_{channel}.tif"], ["Ch1", "Ch2"]),
    ],
)
def test_the_part_that_differs_is_the_token(names: list[str], patterns: list[str], tokens: list[str]) -> None:
    found, groups = surveyed(name.format(n=number) for name in names for number in range(1, 31))
    proposal = tomllib.loads(propose(found, groups).text)
    assert sorted(proposal["images"]) == sorted(patterns)
    assert [channel["token"] for channel in proposal["channels"]] == tokens
    assert not found.doubts


def test_a_cell_that_two_numbers_tell_together_is_in_doubt() -> None:
    found, groups = surveyed(
        f"field{field:02d}_cell{cell:02d}_{token}.tif"
        for field in range(1, 9)
        for cell in range(1, 21)
        for token in ("BF", "PE")
    )
    assert tomllib.loads(propose(found, groups).text)["images"] == "?"
    assert any("fit one pattern" in doubt for doubt in found.doubts)


def test_the_families_files_are_read_as_the_proposal_says_and_no_others() -> None:
    names = [f"Images/{number:04d}_{token}.tif" for number in range(1, 31) for token in ("PE", "PerCP")]
    found, groups = surveyed([*names, "Images/0001_PE_old.txt", "Images/PE.tif"])
    text = propose(found, groups).text.replace('ignore = ["?"', 'ignore = ["Images/PE.tif"')
    for place, name in enumerate(("PE", "PerCP")):
        text = text.replace('name = "?"', f'name = "{name}"', 1).replace('marker = "?"', f'marker = "{place}"', 1)
    text = text.replace('bits = "?"', "bits = 16").replace('intensity = "?"', 'intensity = "counts"')
    with tempfile.TemporaryDirectory() as place_:
        path = Path(place_) / "p.toml"
        path.write_text(text, "utf-8")
        run = read_run(found.listing, load_profile(str(path)).profile)
    assert sorted(file.name for cell in run.cells for file in cell.files) == sorted(names)
    assert not run.unaccounted


def test_a_glob_that_would_swallow_images_of_cells_is_never_proposed() -> None:
    images = [f"{number}_{number}x.tif" for number in range(1, 31)]
    found, groups = surveyed([*images, "1_7_8x.tif", "2_7_8x.tif"])
    ours = {
        file.name
        for member in find_family(find_templates(found.listing.files, 0).kinds).members
        for own in member.kind.files.values()
        for file in own
    }
    text = propose(found, groups).text
    assert ours == set(images)
    assert "*_*x.tif" not in text or "*_*_*x.tif" in text
