import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ctc.checkpoint import HASHED_FILES, REFERENCE, open_checkpoint, read_description
from edge_ctc.errors import CheckpointError, InputMissingError
from tests.checkpoints import write_checkpoint, write_description


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint to read, not to change."""
    return write_checkpoint(tmp_path_factory.mktemp("sound") / "checkpoint", ("BF", "PE"), 8)


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A checkpoint to change."""
    return shutil.copytree(sound, tmp_path / "checkpoint")


def described(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "checkpoint.json").read_text())
    return found


def assert_refused(folder: Path, telling: str) -> None:
    with pytest.raises(CheckpointError, match=telling):
        open_checkpoint(folder)


def test_a_checkpoint_as_the_trainer_writes_it_opens(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    assert checkpoint.name == "means"
    assert checkpoint.input.channel_names == ("BF", "PE")
    assert checkpoint.models["fp32"] == (folder / "model.onnx").read_bytes()
    assert checkpoint.models["fp16"] == (folder / "model.fp16.onnx").read_bytes()
    assert checkpoint.reference.images.shape == (8, 2, 8, 8)
    assert checkpoint.reference.tolerances == {"fp32": 1e-3, "fp16": 5e-2}
    assert read_description(folder) == checkpoint.description


def test_its_hash_changes_with_any_file_of_it(folder: Path) -> None:
    before = open_checkpoint(folder).sha256
    (folder / "MODEL_CARD.md").write_text("Another card.\n")
    write_description(folder, {key: value for key, value in described(folder).items() if key != "files"})
    assert open_checkpoint(folder).sha256 != before


@given(name=st.sampled_from(HASHED_FILES), place=st.integers(0), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_single_spoilt_bit_of_any_file_is_found_and_its_file_named(
    sound: Path, name: str, place: int, bit: int
) -> None:
    # The sound one is changed and mended: copying a folder for every example takes long.
    content = (sound / name).read_bytes()
    spoilt = bytearray(content)
    spoilt[place % len(content)] ^= 1 << bit
    try:
        (sound / name).write_bytes(spoilt)
        assert_refused(sound, rf"{re.escape(str(sound / name))}: sha256 .* copy the checkpoint again")
    finally:
        (sound / name).write_bytes(content)


@pytest.mark.parametrize("name", [*HASHED_FILES, "checkpoint.json"])
@pytest.mark.parametrize("harm", ["missing", "half", "empty", "a folder"])
def test_a_file_that_is_missing_or_torn_is_named(folder: Path, name: str, harm: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if harm == "a folder":
        (folder / name).mkdir()
    elif harm != "missing":
        (folder / name).write_bytes(content[: len(content) // 2] if harm == "half" else b"")
    assert_refused(folder, f"^{folder / name}: ")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match=f"{tmp_path / 'none'}: no such folder"):
        open_checkpoint(tmp_path / "none")


def test_a_folder_without_a_description_is_no_checkpoint(tmp_path: Path) -> None:
    assert_refused(tmp_path, r"checkpoint\.json: cannot be read .*expected a checkpoint folder")


@pytest.mark.parametrize("content", [b"[]", b"1", b"null", b"\xff", b"{", b'{"schema_version": 1}', b"[" * 100_000])
def test_a_description_that_is_none_is_refused(folder: Path, content: bytes) -> None:
    (folder / "checkpoint.json").write_bytes(content)
    assert_refused(folder, r"checkpoint\.json: ")


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5])
def test_another_schema_is_refused_before_all_else(folder: Path, version: object) -> None:
    (folder / "checkpoint.json").write_text(json.dumps({"schema_version": version, "of": "the future"}))
    assert_refused(folder, rf"checkpoint\.json: schema_version {version!r}, this edge_ctc reads 1")


PROMISE: dict[str, Any] = {"alpha": 0.07, "kind": "mean", "patients": 14, "wanting": 0}

WRONG: dict[str, dict[str, Any]] = {
    "an unknown key": {"colour": "grey"},
    "an unknown key within": {"thresholds": {"ctc": 0.0, "review": -1.0, "maybe": 0.0}},
    "thresholds out of order": {"thresholds": {"ctc": 0.0, "review": 0.1}},
    "no threshold for review": {"thresholds": {"ctc": 0.0}},
    "review by a cut and by rank": {"thresholds": {"ctc": 0.0, "review": -1.0, "review_top": 20}},
    "review of nobody": {"thresholds": {"ctc": 0.0, "review_top": 0}},
    "review of half a cell": {"thresholds": {"ctc": 0.0, "review_top": 1.5}},
    "review of true": {"thresholds": {"ctc": 0.0, "review_top": True}},
    "a promise of nothing": {"promise": PROMISE | {"alpha": 0.0}},
    "a promise of everything": {"promise": PROMISE | {"alpha": 1.0}},
    "a promise of another kind": {"promise": PROMISE | {"kind": "almost surely"}},
    "a promise from fewer than nobody": {"promise": PROMISE | {"patients": -1}},
    "a promise for which fewer than nobody want": {"promise": PROMISE | {"wanting": -1}},
    "half a promise": {"promise": {"alpha": 0.1}},
    "a threshold that is no number": {"thresholds": {"ctc": float("nan"), "review": 0.0}},
    "a threshold without end": {"thresholds": {"ctc": float("inf"), "review": 0.0}},
    "a threshold in words": {"thresholds": {"ctc": "0.0", "review": -1.0}},
    "a falling calibration": {"calibration": {"slope": -1.0, "intercept": 0.0, "prevalence": 0.1}},
    "a flat calibration": {"calibration": {"slope": 0.0, "intercept": 0.0, "prevalence": 0.1}},
    "a calibration without end": {"calibration": {"slope": float("inf"), "intercept": 0.0, "prevalence": 0.1}},
    "a prevalence of nobody": {"calibration": {"slope": 1.0, "intercept": 0.0, "prevalence": 0.0}},
    "a prevalence of everybody": {"calibration": {"slope": 1.0, "intercept": 0.0, "prevalence": 1.0}},
    "other classes": {"classes": ["CTC", "LEUKOCYTE"]},
    "a name that leaves its folder": {"name": "../a"},
    "a name that is a formula": {"name": "=a"},
    "a name with a newline": {"name": "a\n"},
    "no name": {"name": ""},
    "a long name": {"name": "a" * 65},
    "a range without end": {
        "input": {"channels": [{"name": "BF", "range": [0.0, float("inf")]}], "side_px": 8, "dtype": "uint16"}
    },
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_description_with_a_fault_is_refused(folder: Path, fault: str) -> None:
    write_description(folder, described(folder) | WRONG[fault])
    assert_refused(folder, r"checkpoint\.json: not a valid description")


@pytest.mark.parametrize("key", ["name", "notice", "input", "classes", "calibration", "thresholds", "split", "files"])
def test_a_description_that_lacks_a_key_is_refused(folder: Path, key: str) -> None:
    description = described(folder)
    del description[key]
    (folder / "checkpoint.json").write_text(json.dumps(description))
    assert_refused(folder, key)


def test_no_calibration_and_equal_thresholds_are_sound(folder: Path) -> None:
    changes = {"calibration": None, "thresholds": {"ctc": 1, "review": 1.0}}
    write_description(folder, described(folder) | changes)
    assert open_checkpoint(folder).description.calibration is None


def test_a_checkpoint_may_review_by_rank(folder: Path) -> None:
    write_description(folder, described(folder) | {"calibration": None, "thresholds": {"ctc": 1.0, "review_top": 20}})
    thresholds = open_checkpoint(folder).description.thresholds
    assert (thresholds.ctc, thresholds.review, thresholds.review_top) == (1.0, None, 20)


@pytest.mark.parametrize("given_", [{"ctc": 1.0, "review": -1.0}, {"ctc": 1.0, "review_top": 20}])
def test_thresholds_are_written_as_they_were_given(folder: Path, given_: dict[str, float]) -> None:
    write_description(folder, described(folder) | {"thresholds": given_})
    description = open_checkpoint(folder).description
    assert json.loads(description.model_dump_json())["thresholds"] == given_
    assert description.model_dump()["thresholds"] == given_


def test_the_promise_of_a_checkpoint_is_told_in_words_and_is_none_where_there_is_none(folder: Path) -> None:
    assert open_checkpoint(folder).description.promise is None
    write_description(folder, described(folder) | {"promise": PROMISE})
    promise = open_checkpoint(folder).description.promise
    assert promise is not None
    assert promise.sentence == (
        "at most 7 % of a patient's CTCs missed (LEUKOCYTE or not evaluable) in the mean over patients, "
        "promised from 14 patients with CTCs"
    )


QUANTILES = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
MEASURED = dict.fromkeys(("background", "noise", "brightness", "sharpness", "saturated"), QUANTILES)
OF_A_CLASS = {"cells": 9, "diameter_px": QUANTILES, "channels": {"BF": MEASURED, "PE": MEASURED}}


def test_a_checkpoint_tells_what_its_cells_look_like(folder: Path) -> None:
    assert open_checkpoint(folder).description.fingerprint is None
    fingerprint = {"patients": 3, "sides_px": [40, 64], "leukocyte": OF_A_CLASS, "ctc": OF_A_CLASS | {"cells": 2}}
    write_description(folder, described(folder) | {"fingerprint": fingerprint})
    found = open_checkpoint(folder).description.fingerprint
    assert found is not None
    assert (found.leukocyte.cells, found.ctc.cells) == (9, 2)
    write_description(folder, described(folder) | {"fingerprint": fingerprint | {"patients": 0}})
    assert_refused(folder, "fingerprint.patients")


def test_a_promise_that_too_few_patients_carry_is_none_and_says_how_many_are_wanting(folder: Path) -> None:
    write_description(folder, described(folder) | {"promise": PROMISE | {"patients": 3, "wanting": 11}})
    promise = open_checkpoint(folder).description.promise
    assert promise is not None
    assert promise.sentence.startswith("no guarantee of at most 7 %")
    assert promise.sentence.endswith("3 patients with CTCs, 11 more are wanting")


@pytest.mark.parametrize("harm", ["one too few", "one too many", "another name", "no hash"])
def test_a_wrong_list_of_hashes_is_refused(folder: Path, harm: str) -> None:
    description = described(folder)
    files = description["files"]
    if harm == "one too many":
        files["extra.bin"] = "0" * 64
    elif harm == "no hash":
        files["model.onnx"] = "0" * 63
    else:
        sha256 = files.pop("model.onnx")
        if harm == "another name":
            files["../model.onnx"] = sha256
    (folder / "checkpoint.json").write_text(json.dumps(description))
    assert_refused(folder, r"checkpoint\.json: ")


def arrays_of(folder: Path) -> dict[str, Any]:
    with np.load(folder / REFERENCE) as arrays:
        return dict(arrays)


def with_reference(folder: Path, content: bytes) -> Path:
    """The checkpoint with other reference cells, as a trainer that does not check would have written it."""
    (folder / REFERENCE).write_bytes(content)
    write_description(folder, {key: value for key, value in described(folder).items() if key != "files"})
    return folder


def npz(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=True, **arrays)
    return file.getvalue()


ODD: dict[str, dict[str, Any]] = {
    "a pickle": {"logits": np.array([{"a": 1}] * 8, object)},
    "a logit that is no number": {"logits": np.full(8, np.nan, np.float32)},
    "a logit without end": {"logits": np.full(8, np.inf, np.float32)},
    "logits in words": {"logits": np.array(["a"] * 8)},
    "one logit for all": {"logits": np.float32(0)},
    "fewer logits than cells": {"logits": np.zeros(7, np.float32)},
    "logits in a column": {"logits": np.zeros((8, 1), np.float32)},
    "complex logits": {"logits": np.zeros(8, np.complex64)},
    "fewer features than cells": {"features": np.zeros((7, 2), np.float32)},
    "features without a width": {"features": np.zeros(8, np.float32)},
    "images of another depth": {"images": np.zeros((8, 2, 8, 8), np.uint8)},
    "images with a channel less": {"images": np.zeros((8, 1, 8, 8), np.uint16)},
    "images without a channel": {"images": np.zeros((8, 8, 8), np.uint16)},
    "images without a pixel": {"images": np.zeros((8, 2, 0, 8), np.uint16)},
    "no cell": {
        "images": np.zeros((0, 2, 8, 8), np.uint16),
        "logits": np.zeros(0, np.float32),
        "features": np.zeros((0, 2), np.float32),
    },
    "a tolerance of nothing": {"tolerance_fp32": 0.0},
    "a tolerance below nothing": {"tolerance_fp16": -1.0},
    "a tolerance of everything": {"tolerance_fp16": np.inf},
    "a tolerance that is no number": {"tolerance_fp32": np.nan},
    "a tolerance in words": {"tolerance_fp32": "small"},
    "two tolerances": {"tolerance_fp32": np.array([0.1, 0.2])},
}


@pytest.mark.parametrize("oddity", ODD)
def test_reference_cells_that_cannot_be_replayed_are_refused_by_file(folder: Path, oddity: str) -> None:
    assert_refused(with_reference(folder, npz(arrays_of(folder) | ODD[oddity])), r"reference\.npz: .*train again")


@pytest.mark.parametrize("name", ["images", "logits", "features", "tolerance_fp32", "tolerance_fp16"])
def test_reference_cells_that_lack_a_part_are_refused(folder: Path, name: str) -> None:
    arrays = arrays_of(folder)
    del arrays[name]
    assert_refused(with_reference(folder, npz(arrays)), rf"reference\.npz: .*{name}")


def _encrypted(content: bytes) -> bytes:
    # Bit 0 of the flags, in the local and in the central header.
    spoilt = bytearray(content)
    spoilt[6] |= 1
    spoilt[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(spoilt)


def _with_a_member_of_text(content: bytes) -> bytes:
    file = io.BytesIO(content)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(new := io.BytesIO(), "w") as archive:
        for name in old.namelist():
            archive.writestr(name, b"text" if name == "images.npy" else old.read(name))
    return new.getvalue()


def _single_array(_content: bytes) -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


NOT_NPZ: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"reference cells",
    "a single array": _single_array,
    "a pickle": lambda _: b"\x80\x04N.",
    "torn": lambda content: content[:-30],
    "encrypted": _encrypted,
    "a spoilt stream": lambda content: content[:60] + bytes(40) + content[100:],
    "a member of text": _with_a_member_of_text,
}


@pytest.mark.parametrize("kind", NOT_NPZ)
def test_a_file_that_is_no_archive_of_arrays_is_refused_by_name(folder: Path, kind: str) -> None:
    content = NOT_NPZ[kind]((folder / REFERENCE).read_bytes())
    assert_refused(with_reference(folder, content), r"reference\.npz: ")
