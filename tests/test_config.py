import contextlib
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ctc.checkpoint import DESCRIPTION, HASHED_FILES, shipped_checkpoints
from edge_ctc.config import Settings, check_settings
from edge_ctc.errors import CheckpointError, ConfigError
from edge_ctc.toml_file import read_toml
from tests.checkpoints import WEIGHTS, write_checkpoint
from tests.conftest import EdgeCtc

EXAMPLE = Path(__file__).parents[1] / "systemd" / "edge-ctc.toml"

REQUIRED = """\
export_dir = "/mnt/scanner"
profile = "flat"
checkpoint = "reference"
runtime = "tensorrt"
"""

PROFILE = """\
schema_version = 1
name = "ours"
layout = "flat"
images = "{cell_id}_{channel}.tif"
runs = "*/*"
channels = [{ name = "BF" }, { name = "DAPI" }, { name = "PE" }, { name = "APC" }]
"""

Write = Callable[..., Path]


@pytest.fixture
def config(tmp_path: Path) -> Write:
    """Writes the settings that are required, some of them changed, and more lines after them."""

    def write(*lines: str, **changed: str) -> Path:
        values = {**tomllib.loads(REQUIRED), **changed}
        path = tmp_path / "edge-ctc.toml"
        path.write_text("\n".join([*(f'{key} = "{value}"' for key, value in values.items()), *lines, ""]), "utf-8")
        return path

    return write


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        check_settings(path)
    return str(error.value)


def test_four_keys_are_enough(config: Write) -> None:
    checked = check_settings(config())
    assert checked.settings.export_dir == "/mnt/scanner"
    assert checked.settings.results == "beside"
    assert checked.profile.profile.name == "flat"
    assert checked.checkpoint == shipped_checkpoints() / "reference"
    assert checked.checkpoint_name == "reference"


@pytest.mark.parametrize("key", ["export_dir", "profile", "checkpoint", "runtime"])
def test_each_of_the_four_is_asked_for(tmp_path: Path, key: str) -> None:
    path = tmp_path / "edge-ctc.toml"
    path.write_text("\n".join(line for line in REQUIRED.splitlines() if not line.startswith(key)))
    assert f"{path}: {key}: missing; add it" in refusal(path)


def test_a_misspelt_key_is_refused_with_its_line_and_the_key_that_was_meant(config: Write) -> None:
    told = refusal(config("", "look_evry_s = 2"))
    assert told.endswith('look_evry_s: unknown key (did you mean "look_every_s"?) (line 6)')


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("look_every_s = 0", "look_every_s: Input should be greater than or equal to 0.1, found 0 (line 5)"),
        ('look_every_s = "2"', "look_every_s: Input should be a valid number, found '2' (line 5)"),
        ('mount = "nfs"', "mount: Input should be 'auto', 'local' or 'share', found 'nfs' (line 5)"),
        ('results = "out"', "results: 'out': expected \"beside\", or a path from the root (line 5)"),
        ('results = "/a/../b"', "results: '/a/../b': expected"),
        ('engines_dir = "engines"', "engines_dir: 'engines': expected a path from the root"),
        ("quiet_s = 1", "quiet_s: 1: expected at least settle_s, 2; raise the one or lower the other (line 5)"),
        ("settle_s = 600", "quiet_s: 120: expected at least settle_s, 600"),
        ("results = ", "not valid TOML (Invalid value (at line 5, column 11)); mend that line"),
        ('profile = "flat"', "not valid TOML (Cannot overwrite a value (at line 5, column 17))"),
    ],
)
def test_a_wrong_value_is_refused_with_its_line_what_was_found_and_what_is_expected(
    config: Write, line: str, told: str
) -> None:
    assert told in refusal(config(line))


def test_whole_numbers_are_numbers(config: Write) -> None:
    assert check_settings(config("quiet_s = 60")).settings.quiet_s == 60.0


def test_the_export_folder_is_given_from_the_root(config: Write) -> None:
    assert (
        "export_dir: 'exports': expected a path from the root, in printable characters, without `..` (line 1)"
        in refusal(config(export_dir="exports"))
    )


def test_a_profile_of_ones_own_is_named_from_the_root_since_the_daemon_works_there(
    config: Write, tmp_path: Path
) -> None:
    (tmp_path / "ours.toml").write_text(PROFILE)
    checked = check_settings(config(profile=str(tmp_path / "ours.toml")))
    assert checked.profile.profile.runs == "*/*"
    told = refusal(config(profile="ours.toml"))
    assert ", line 2: profile: 'ours.toml' is no built-in profile (flat, montage, multipage, per-cell)" in told


def test_a_profile_that_is_wrong_is_refused_with_both_files_and_lines(config: Write, tmp_path: Path) -> None:
    ours = tmp_path / "ours.toml"
    ours.write_text(PROFILE.replace('layout = "flat"', 'layout = "round"'))
    told = refusal(config(profile=str(ours)))
    assert f"{tmp_path / 'edge-ctc.toml'}, line 2: profile: {ours}: layout: " in told
    assert "(line 3)" in told


def test_a_checkpoint_that_is_not_there_is_a_wrong_setting(config: Write, tmp_path: Path) -> None:
    told = refusal(config(checkpoint=str(tmp_path / "none")))
    assert f"line 3: checkpoint: {tmp_path / 'none'} cannot be opened (No such file or directory)" in told
    assert "line 3: checkpoint: 'ours': expected a folder by its path from /, or reference" in refusal(
        config(checkpoint="ours")
    )


def test_a_checkpoint_that_is_no_folder_is_a_wrong_setting(config: Write) -> None:
    path = config()
    assert "cannot be opened (Not a directory)" in refusal(config(checkpoint=str(path)))


def test_a_folder_without_a_checkpoint_is_a_wrong_setting(config: Write, tmp_path: Path, edge_ctc: EdgeCtc) -> None:
    path = config(checkpoint=str(tmp_path))
    told = (
        f"line 3: checkpoint: {tmp_path} holds no checkpoint.json, so no checkpoint; name the folder that the trainer"
    )
    assert told in refusal(path)
    assert edge_ctc("config", "check", "--config", path).code == 78


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, how) for name in (DESCRIPTION, *HASHED_FILES) for how in ("empty", "changed")),
        *((name, "missing") for name in HASHED_FILES),
    ],
)
def test_a_spoilt_checkpoint_keeps_its_own_error(
    config: Write, tmp_path: Path, edge_ctc: EdgeCtc, name: str, how: str
) -> None:
    spoilt = write_checkpoint(tmp_path / "spoilt")
    content = (spoilt / name).read_bytes()
    (spoilt / name).write_bytes(b"" if how == "empty" else b"x" + content[1:])
    if how == "missing":
        (spoilt / name).unlink()
    path = config(checkpoint=str(spoilt))
    with pytest.raises(CheckpointError, match=name):
        check_settings(path)
    assert edge_ctc("config", "check", "--config", path).code == 65


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"channels": ("BF", "FITC")}, "['FITC'] lack"),
        ({"input": {"bits": 8}}, "bits: the profile says 12, the checkpoint was trained on 8"),
        ({"input": {"pixel_size_um": 0.25}}, "pixel_size_um: the profile says 0.5"),
    ],
)
def test_a_checkpoint_that_does_not_fit_the_profile_is_refused(
    config: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], told: str
) -> None:
    monkeypatch.setitem(WEIGHTS, "FITC", 1.0)
    other = write_checkpoint(tmp_path / "other", **changes)
    (tmp_path / "ours.toml").write_text(PROFILE.replace("runs =", "bits = 12\npixel_size_um = 0.5\nruns ="))
    path = config(profile=str(tmp_path / "ours.toml"), checkpoint=str(other))
    said = refusal(path)
    assert f"{path}, line 3: checkpoint: does not fit profile {tmp_path / 'ours.toml'}: " in said
    assert told in said


@pytest.mark.parametrize(
    ("profile", "learned_from", "fits"),
    [("flat", "counts", True), ("flat", "display", False), ("montage", "counts", False), ("montage", "display", True)],
)
def test_a_checkpoint_that_learned_from_other_intensities_is_refused_since_no_cell_could_be_called(
    config: Write, tmp_path: Path, edge_ctc: EdgeCtc, profile: str, learned_from: str, fits: bool
) -> None:
    checkpoint = write_checkpoint(tmp_path / "other", input={"intensity": learned_from})
    path = config(profile=profile, checkpoint=str(checkpoint))
    if fits:
        assert check_settings(path).profile.profile.name == profile
        return
    assert f"{path}, line 3: checkpoint: does not fit profile {profile}: intensity: the profile says " in refusal(path)
    assert edge_ctc("config", "check", "--config", path).code == 78


@pytest.mark.parametrize("key", ["export_dir", "results", "engines_dir"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("//SCANNER/exports", "is the name of a share; mount it, and name its mount point"),
        ("//home/lab/exports", "is the name of a share"),
        ("/mnt/a\\n[Service]\\nUser=root", "in printable characters"),
        ("/mnt/a\\u001b[2J", "in printable characters"),
    ],
)
def test_a_path_that_no_other_file_or_line_could_show_is_refused(
    config: Write, key: str, value: str, told: str
) -> None:
    said = refusal(config(**{key: value}))
    assert f"{key}: " in said
    assert told in said


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("results", "/mnt/scanner/results"),
        ("results", "/mnt/scanner//P07"),
        ("engines_dir", "/mnt/scanner"),
        ("checkpoint", "/mnt/scanner/checkpoint"),
        ("profile", "/mnt/scanner/ours.toml"),
    ],
)
def test_what_the_daemon_needs_lies_outside_the_export_folder(config: Write, key: str, value: str) -> None:
    told = refusal(config(**{key: value}))
    assert f"{key}: {value} lies inside export_dir /mnt/scanner; " in told
    assert ", line " in told


@pytest.mark.parametrize("results", ["/mnt/scanner", "/mnt/scanner/", "/mnt/scanner-calls", "/srv/calls", "/mnt"])
def test_results_may_lie_beside_or_elsewhere(config: Write, results: str) -> None:
    assert check_settings(config(results=results)).settings.results == results


def test_the_export_folder_is_never_touched(config: Write, tmp_path: Path) -> None:
    """Whoever touches a dead share hangs. Python tells of what it opens and lists, not of what it only looks at."""
    export = tmp_path / "share"
    script = (
        "import os, sys\n"
        "def refuse(what, *paths):\n"
        f"    if any(str(path).startswith({str(export)!r}) for path in paths):\n"
        "        raise SystemExit(f'touched by {what}')\n"
        "def watched(name, call):\n"
        "    return lambda path, *others, **named: (refuse(name, path), call(path, *others, **named))[1]\n"
        "for name in ('stat', 'lstat', 'access', 'readlink', 'open', 'statvfs'):\n"
        "    setattr(os, name, watched(name, getattr(os, name)))\n"
        "sys.addaudithook(lambda event, arguments: refuse(event, *arguments))\n"
        "from pathlib import Path\n"
        "from edge_ctc.config import check_settings\n"
        f"check_settings(Path({str(config(export_dir=str(export)))!r}))\n"
        f"os.stat({str(tmp_path)!r})\n"
        "try:\n"
        f"    Path({str(export)!r}).is_dir()\n"
        "except SystemExit:\n"
        "    sys.exit(0)\n"
        "sys.exit('the watch itself is blind')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_check_takes_under_a_second_and_loads_no_runtime(config: Write) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from edge_ctc.cli import app\n"
        "from edge_ctc.config import check_settings\n"
        "start = time.process_time()\n"
        f"check_settings(Path({str(config())!r}))\n"
        "assert time.process_time() - start < 1\n"
        "assert not {'onnxruntime', 'tensorrt', 'tensorrt_rtx', 'pycuda'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_command_says_in_one_line_what_will_happen(config: Write, edge_ctc: EdgeCtc) -> None:
    done = edge_ctc("config", "check", "--config", config(results="/srv/calls"))
    assert done.code == 0
    (line,) = done.out.splitlines()
    for part in ("/mnt/scanner", "profile flat", "checkpoint reference", "tensorrt fp32", "/srv/calls"):
        assert part in line


def test_the_command_ends_with_78_and_names_file_and_line(config: Write, edge_ctc: EdgeCtc) -> None:
    path = config("settle_s = -1")
    done = edge_ctc("config", "check", "--config", path)
    assert (done.code, done.out) == (78, "")
    assert f"error: {path}: settle_s: " in done.err
    assert "(line 5)" in done.err
    done = edge_ctc("config", "check", "--config", path.with_name("none.toml"))
    assert done.code == 78
    assert "none.toml: cannot be read (No such file or directory)" in done.err


def test_the_example_can_be_had_from_the_command(edge_ctc: EdgeCtc) -> None:
    assert edge_ctc("config", "example").out == EXAMPLE.read_text("utf-8")


def test_the_example_shows_every_key_with_its_default() -> None:
    text = EXAMPLE.read_text("utf-8")
    lines = text.splitlines()
    for name, field in Settings.model_fields.items():
        shown = [line for line in lines if line.removeprefix("# ").startswith(f"{name} =")]
        assert len(shown) == 1, name
        if field.is_required():
            assert not shown[0].startswith("#"), name
        elif field.default is None:
            assert shown[0] == f"# {name} =", name
        else:
            assert shown[0].startswith("# "), name
            assert tomllib.loads(shown[0].removeprefix("# ")) == {name: field.default}


def test_the_example_holds_with_its_required_keys_alone_and_with_every_default_written_out(tmp_path: Path) -> None:
    text = EXAMPLE.read_text("utf-8")
    assert tomllib.loads(text).keys() == {"export_dir", "profile", "checkpoint", "runtime"}
    assert check_settings(EXAMPLE).settings.runtime == "tensorrt"
    names = tuple(f"# {name} = " for name in Settings.model_fields)
    written_out = "\n".join(line.removeprefix("# ") if line.startswith(names) else line for line in text.splitlines())
    path = tmp_path / "edge-ctc.toml"
    path.write_text(written_out)
    assert read_toml(path, Settings) == read_toml(EXAMPLE, Settings)


@given(st.binary(max_size=80))
def test_whatever_follows_the_settings_hold_or_are_refused_by_name(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(REQUIRED.encode() + content)
        file.flush()
        with contextlib.suppress(ConfigError):
            assert read_toml(Path(file.name), Settings).export_dir == "/mnt/scanner"
