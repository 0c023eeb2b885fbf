"""The gate: what an engine must answer before it is installed, and that a refused one changes nothing."""

import hashlib
import json
import math
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_ctc import __version__, durable
from edge_ctc.build import Order, build_engine
from edge_ctc.checkpoint import MODEL_FP16, MODEL_FP32, open_checkpoint
from edge_ctc.classify import classify_run
from edge_ctc.console.runs import RunReporter
from edge_ctc.engine.installed import read_engine
from edge_ctc.engine.runtimes import this_machine
from edge_ctc.errors import ConfigError, DataError, EngineError, NotARunError, ResultsHeldError, RunMissingError
from edge_ctc.gate import GateError
from edge_ctc.models import OpenModels
from edge_ctc.network import Precision
from edge_ctc.plan import Request
from edge_ctc.simulate import Layout, write_run
from tests.checkpoints import WEIGHTS, write_checkpoint
from tests.conftest import EdgeCtc
from tests.engines import (
    Silent,
    altered,
    bias,
    change_graph,
    copy_of,
    files_of,
    fp16_is_fp32_and,
    weight,
    with_flips,
    with_novelty,
)
from tests.results import rows_of

PLACES: dict[Precision, Path] = {
    "fp32": Path("means") / "onnxruntime-fp32-cpu",
    "fp16": Path("means") / "onnxruntime-fp16-cpu",
}


def order_of(checkpoint: Path, engines: Path, precision: Precision = "fp16", **changes: Any) -> Order:
    fields: dict[str, Any] = {
        "checkpoint": open_checkpoint(checkpoint),
        "runtime": "onnxruntime",
        "precision": precision,
        "max_batch": 64,
        "engines_dir": engines,
    }
    return Order(**(fields | changes))


def refused(checkpoint: Path, engines: Path, precision: Precision = "fp16", **changes: Any) -> str:
    """What is said of an engine that the gate refuses; nothing may be installed."""
    before = files_of(engines) if engines.is_dir() else {}
    with pytest.raises(EngineError) as told:
        build_engine(order_of(checkpoint, engines, precision, **changes), Silent())
    assert (files_of(engines) if engines.is_dir() else {}) == before
    return str(told.value)


@pytest.fixture
def engines(tmp_path: Path) -> Path:
    return tmp_path / "engines"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A checkpoint of two channels, 8 px, that a test may change."""
    return write_checkpoint(tmp_path / "small", ("BF", "PE"), 8)


# -- what is installed -----------------------------------------------------------------------------------------------


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("precision", "file"), [("fp32", MODEL_FP32), ("fp16", MODEL_FP16)])
def test_the_record_says_what_the_engine_was_built_from_and_how_it_was_proved(
    edge_ctc: EdgeCtc,
    checkpoint: Path,
    engines: Path,
    precision: Precision,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed = ["build-engine", str(checkpoint), "--profile", "it is ours.toml"]
    monkeypatch.setattr(sys, "argv", ["/home/a/bin/edge-ctc", *typed])
    command = ("build-engine", checkpoint, "--runtime", "onnxruntime", "--precision", precision, "--out", engines)
    finished = edge_ctc(*command, "--max-batch", "7")
    assert finished.code == 0, finished.err
    folder = engines / PLACES[precision]
    record = json.loads((folder / "engine.json").read_text())
    parity = record.pop("parity")
    assert 0 <= parity.pop("largest_difference") <= parity["tolerance"]
    assert parity == {
        "cells": 8,
        "runs": 0,
        "tolerance": {"fp32": 1e-3, "fp16": 5e-2}[precision],
        "flips": 0,
        "review_flips": 0,
    }
    assert shlex.split(record.pop("command")) == ["edge-ctc", *typed]
    assert len(record.pop("seal")) == 64
    built = record.pop("built_at_utc")
    assert built.startswith("20")
    assert built.endswith("Z")
    assert record == {
        "schema_version": 1,
        "checkpoint": "means",
        "checkpoint_folder": str(checkpoint),
        "checkpoint_sha256": sha256_of(checkpoint / "checkpoint.json"),
        "onnx_sha256": sha256_of(checkpoint / file),
        "plan_sha256": sha256_of(folder / "engine.plan"),
        "timing_cache_sha256": None,
        "runtime": "onnxruntime",
        "runtime_version": this_machine("onnxruntime").runtime_version,
        "cuda_version": None,
        "driver_version": None,
        "gpu_name": None,
        "compute_capability": None,
        "precision": precision,
        "max_batch": 7,
        "state": "proved",
        "rebuilt_because": [],
        "software_version": __version__,
    }


@pytest.mark.parametrize(("precision", "file"), [("fp32", MODEL_FP32), ("fp16", MODEL_FP16)])
def test_the_plan_for_onnx_runtime_is_the_graph_byte_for_byte(
    checkpoint: Path, engines: Path, precision: Precision, file: str
) -> None:
    built = build_engine(order_of(checkpoint, engines, precision), Silent())
    assert built.engine.folder == engines / PLACES[precision]
    assert {path.name for path in built.engine.folder.iterdir()} == {"engine.plan", "engine.json"}
    assert (built.engine.folder / "engine.plan").read_bytes() == (checkpoint / file).read_bytes()
    assert read_engine(built.engine.folder) == built.engine
    assert built.no_device == ""


def test_the_command_is_null_where_no_user_typed_one(checkpoint: Path, engines: Path) -> None:
    folder = build_engine(order_of(checkpoint, engines), Silent()).engine.folder
    assert json.loads((folder / "engine.json").read_text())["command"] is None


def test_the_folder_of_the_checkpoint_is_recorded_whole_even_where_it_was_named_in_short(
    checkpoint: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    built = build_engine(order_of(Path(checkpoint.name), engines), Silent())
    assert built.engine.record.checkpoint_folder == str(checkpoint)


def test_a_checkpoint_in_a_folder_whose_name_is_no_text_can_be_built(
    edge_ctc: EdgeCtc, small: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = small.rename(small.with_name(os.fsdecode(b"caff\xe8")))
    monkeypatch.setattr(sys, "argv", ["edge-ctc", "build-engine", str(odd)])
    finished = edge_ctc("build-engine", odd, "--runtime", "onnxruntime", "--out", engines)
    assert finished.code == 0, finished.err
    assert edge_ctc("engine", "verify", engines / PLACES["fp32"], "--checkpoint", odd).code == 0


def test_the_record_tells_the_differences_that_were_measured(small: Path, engines: Path) -> None:
    fp16_is_fp32_and(small, 0.0125)
    parity = build_engine(order_of(small, engines), Silent()).engine.record.parity
    assert parity is not None
    assert parity.largest_difference == pytest.approx(0.0125, rel=1e-4)


# -- what is refused -------------------------------------------------------------------------------------------------


def test_a_spoilt_weight_in_the_graph_of_a_precision_is_refused(small: Path, engines: Path) -> None:
    change_graph(small, weight(WEIGHTS["BF"] + 0.2), MODEL_FP16)
    told = refused(small, engines)
    assert "not installed; held against ONNX Runtime at fp32 on 8 cells: a logit is off by 0.1" in told
    assert "allowed 0.05; try --precision fp32, or train again" in told
    assert build_engine(order_of(small, engines, "fp32"), Silent()).engine.record.state == "proved"


@pytest.mark.parametrize("off", [0.06, -0.06])
def test_a_graph_with_another_bias_is_refused(small: Path, engines: Path, off: float) -> None:
    assert "a logit is off by 0.06, allowed 0.05" in refused(fp16_is_fp32_and(small, off), engines)


@pytest.mark.parametrize("by", [1.03, 0.97])
def test_a_graph_whose_features_would_say_otherwise_what_is_out_of_distribution_is_refused(
    small: Path, engines: Path, by: float
) -> None:
    change_graph(with_novelty(small), altered("features", "Mul", by), MODEL_FP16)
    told = refused(small, engines)
    assert "the out-of-distribution score of 8 cells is off by more than 2%: of reference cell" in told
    assert build_engine(order_of(small, engines, "fp32"), Silent()).engine.record.state == "proved"


def test_features_within_the_tolerance_or_that_nothing_uses_refuse_no_engine(small: Path, engines: Path) -> None:
    exact = copy_of(small, small.with_name("exact"))
    change_graph(small, altered("features", "Mul", 1.5), MODEL_FP16)
    assert build_engine(order_of(small, engines), Silent()).engine.record.state == "proved"
    change_graph(with_novelty(exact), altered("features", "Mul", 1.01), MODEL_FP16)
    assert build_engine(order_of(exact, engines), Silent()).engine.record.state == "proved"


def test_features_that_differ_for_cells_of_a_run_alone_refuse_the_engine(
    checkpoint: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    spoilt = with_novelty(copy_of(checkpoint, tmp_path / "spoilt"))
    # No feature of a reference cell is below 0.3, those of the run are.
    change_graph(spoilt, altered("features", "Max", 0.3), MODEL_FP16)
    assert build_engine(order_of(spoilt, engines), Silent()).engine.record.state == "proved"
    assert "score of 20 cells is off by more than 2%" in refused(spoilt, engines, checks=(run,))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_graph_that_gives_no_number_is_refused(small: Path, engines: Path, value: float) -> None:
    assert "not finite" in refused(fp16_is_fp32_and(small, value), engines)


def test_a_graph_that_gives_no_number_for_one_cell_of_a_run_alone_is_refused(
    checkpoint: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    # 0 / 0 where the logit is that of one cell, and of no reference cell.
    score = float(np.float32(scores_of(run, checkpoint, tmp_path)["0003"]))
    spoilt = copy_of(checkpoint, tmp_path / "spoilt")
    shutil.copyfile(spoilt / MODEL_FP32, spoilt / MODEL_FP16)

    def no_number_at(model: onnx.ModelProto) -> None:
        bias(-score)(model)
        nodes = model.graph.node
        nodes[-1].output[0] = "distance"
        nodes.append(helper.make_node("Div", ["distance", "distance"], ["one"]))
        nodes.append(helper.make_node("Mul", ["one", "right logits"], ["logits"]))

    change_graph(spoilt, no_number_at, MODEL_FP16)
    assert build_engine(order_of(spoilt, engines), Silent()).engine.record.state == "proved"
    assert "not finite" in refused(spoilt, engines, checks=(run,))


@pytest.mark.parametrize(
    "fault", ["garbage", "empty", "cut short", "another input", "a fixed batch", "an unknown operator"]
)
def test_a_graph_that_the_runtime_refuses_is_not_installed(small: Path, engines: Path, fault: str) -> None:
    content = (small / MODEL_FP16).read_bytes()
    model = onnx.load_from_string(content)
    if fault == "another input":
        model.graph.input[0].name = model.graph.node[0].input[0] = "pixels"
    elif fault == "a fixed batch":
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    else:
        model.graph.node[1].op_type = "Unheard"
    contents = {"garbage": b"garbage", "empty": b"", "cut short": content[: len(content) // 2]}
    (small / MODEL_FP16).write_bytes(contents.get(fault, model.SerializeToString()))
    copy = copy_of(small, small.with_name("copy"))
    refused(copy, engines)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_yardstick_that_is_wrong_itself_proves_nothing(small: Path, engines: Path, precision: Precision) -> None:
    # Both graphs agree, and neither gives what the training measured.
    change_graph(small, bias(0.01), MODEL_FP32, MODEL_FP16)
    assert "a reference cell of means is off by 0.01, allowed 0.001" in refused(small, engines, precision)


def test_what_every_start_would_refuse_is_not_installed(small: Path, engines: Path) -> None:
    # Within the tolerance of the yardstick, which is itself a little off, and yet too far from the reference cells.
    fp16_is_fp32_and(small, 0.0505)
    change_graph(small, bias(0.0009), MODEL_FP32)
    assert "a reference cell of means is off by 0.0505, allowed 0.05" in refused(small, engines)


@pytest.mark.parametrize(
    ("flips", "cells", "installed"), [(1, 1000, True), (2, 1000, False), (1, 999, False), (1, 2000, True)]
)
def test_one_reference_cell_of_a_thousand_may_turn_from_review(
    tmp_path: Path, engines: Path, flips: int, cells: int, *, installed: bool
) -> None:
    checkpoint = with_flips(tmp_path / "flips", flips, cells=cells)
    if not installed:
        assert f"{flips} of {cells} cells change to or from REVIEW, allowed 0.1 %" in refused(checkpoint, engines)
        return
    built = build_engine(order_of(checkpoint, engines), Silent())
    assert built.engine.record.parity is not None
    assert built.engine.record.parity.review_flips == flips
    assert built.engine.record.parity.flips == 0


def test_flips_that_are_allowed_are_listed_where_the_engine_is_installed(
    edge_ctc: EdgeCtc, tmp_path: Path, engines: Path
) -> None:
    checkpoint = with_flips(tmp_path / "flips", 1, cells=1000)
    build = ("build-engine", checkpoint, "--runtime", "onnxruntime", "--out", engines)
    finished = edge_ctc(*build, "--precision", "fp16")
    assert finished.code == 0
    assert "verdicts that change: 1" in finished.out
    (line,) = [line for line in finished.out.splitlines() if "reference cell" in line]
    assert " REVIEW at " in line
    assert " becomes CTC at " in line


@pytest.mark.parametrize("flips", [2, 45])
def test_a_refusal_lists_every_cell_that_changes(edge_ctc: EdgeCtc, tmp_path: Path, engines: Path, flips: int) -> None:
    checkpoint = with_flips(tmp_path / "flips", flips, cells=1000)
    build = ("build-engine", checkpoint, "--runtime", "onnxruntime", "--out", engines)
    finished = edge_ctc(*build, "--precision", "fp16")
    assert finished.code == 70
    assert finished.err.count(" becomes CTC at ") == flips
    assert "becomes" not in finished.out
    assert files_of(engines) == {}


def test_no_cell_may_turn_from_leukocyte_to_ctc_however_many_do_not_and_however_little_is_off(
    tmp_path: Path, engines: Path
) -> None:
    checkpoint = with_flips(tmp_path / "flips", 1, cells=2000, hard=True)
    told = refused(checkpoint, engines)
    assert "1 cells change between CTC and LEUKOCYTE, allowed none" in told
    assert "LEUKOCYTE at " in told
    assert "becomes CTC at " in told
    assert "is off by" not in told


# -- --check RUN -----------------------------------------------------------------------------------------------------


def scores_of(run: Path, checkpoint: Path, out: Path) -> dict[str, float]:
    """What ONNX Runtime says of a run's cells."""
    place = out / "scores"
    with OpenModels() as models, RunReporter(quiet=True) as reporter:
        classify_run(Request(run, checkpoint=checkpoint, out=place), models, reporter)
    return {row["cell_id"]: float(row["score"]) for row in rows_of(run, place)}


def test_every_cell_of_the_runs_to_be_checked_is_answered(
    checkpoint: Path, run: Path, engines: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    write_run(second, 13, 2, seed=5, layout=Layout.MULTIPAGE)
    reporter = Silent()
    built = build_engine(order_of(checkpoint, engines, checks=(run, second), max_batch=6), reporter)
    assert built.engine.record.parity is not None
    assert (built.engine.record.parity.cells, built.engine.record.parity.runs) == (8 + 20 + 13, 2)
    assert built.comparison is not None
    assert built.comparison.cells == 41
    assert reporter.to_compare == reporter.compared == 2 * 33


def test_the_command_line_checks_the_runs_that_it_names_and_says_so(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    build = ("build-engine", checkpoint, "--runtime", "onnxruntime", "--out", engines)
    finished = edge_ctc(*build, "--check", run, "--profile", "flat")
    assert finished.code == 0
    assert "proved on 28 cells against ONNX Runtime at fp32" in finished.out
    assert f"in {engines / PLACES['fp32']}" in finished.out


@pytest.mark.parametrize("hard", [False, True])
def test_a_run_refuses_what_the_reference_cells_let_through(
    checkpoint: Path, run: Path, engines: Path, tmp_path: Path, *, hard: bool
) -> None:
    scores = scores_of(run, checkpoint, tmp_path)
    top = max(scores, key=lambda cell: scores[cell])
    cut = scores[top] + 0.01
    spoilt = copy_of(checkpoint, tmp_path / "spoilt", thresholds={"ctc": cut, "review": cut if hard else -99.0})
    fp16_is_fp32_and(spoilt, 0.02)
    logits = open_checkpoint(spoilt).reference.logits
    assert not ((logits > cut - 0.03) & (logits < cut + 0.01)).any()
    told = refused(spoilt, engines, checks=(run,))
    assert f"{run} cell {top}: {'LEUKOCYTE' if hard else 'REVIEW'} at " in told
    assert ("between CTC and LEUKOCYTE" in told) == hard
    assert build_engine(order_of(spoilt, engines), Silent()).engine.record.state == "proved"


def test_torn_images_among_good_ones_are_left_out(checkpoint: Path, run: Path, engines: Path) -> None:
    for cell in ("0003", "0011"):
        image = run / "Images" / f"{cell}_PE.tif"
        image.write_bytes(image.read_bytes()[:100])
    (run / "Images" / "0007_BF.tif").unlink()
    parity = build_engine(order_of(checkpoint, engines, checks=(run,)), Silent()).engine.record.parity
    assert parity is not None
    assert (parity.cells, parity.runs) == (8 + 17, 1)


def build_with(edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, *more: object) -> tuple[int, str]:
    finished = edge_ctc("build-engine", checkpoint, "--runtime", "onnxruntime", "--out", engines, *more)
    assert files_of(engines) == {} if engines.exists() else True
    return finished.code, finished.err


def test_a_run_that_is_not_there_proves_nothing(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, tmp_path: Path
) -> None:
    assert build_with(edge_ctc, checkpoint, engines, "--check", tmp_path / "none")[0] == 66
    with pytest.raises(RunMissingError):
        build_engine(order_of(checkpoint, engines, checks=(tmp_path / "none",)), Silent())


def test_a_folder_that_is_no_run_proves_nothing(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path, tmp_path: Path
) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "letter.txt").write_text("x")
    assert build_with(edge_ctc, checkpoint, engines, "--check", tmp_path / "papers")[0] == 65
    with pytest.raises(NotARunError):
        build_engine(order_of(checkpoint, engines, checks=(tmp_path / "papers",)), Silent())


def test_a_run_that_does_not_fit_the_checkpoint_proves_nothing(
    edge_ctc: EdgeCtc, run: Path, engines: Path, tmp_path: Path
) -> None:
    other = write_checkpoint(tmp_path / "other", ("BF", "CD45"), 8)
    code, told = build_with(edge_ctc, other, engines, "--check", run)
    assert code == 78
    assert "CD45" in told
    with pytest.raises(ConfigError):
        build_engine(order_of(other, engines, checks=(run,)), Silent())


def test_a_run_without_a_cell_that_can_be_evaluated_proves_nothing(
    edge_ctc: EdgeCtc, checkpoint: Path, run: Path, engines: Path
) -> None:
    for image in (run / "Images").glob("*_PE.tif"):
        image.write_bytes(b"II*\0")
    code, told = build_with(edge_ctc, checkpoint, engines, "--check", run)
    assert code == 65
    assert f"{run}: no cell of it can be evaluated" in told
    with pytest.raises(DataError):
        build_engine(order_of(checkpoint, engines, checks=(run,)), Silent())


def test_a_run_to_be_checked_is_not_written_into(checkpoint: Path, run: Path, engines: Path) -> None:
    before = files_of(run.parent)
    build_engine(order_of(checkpoint, engines, checks=(run,)), Silent())
    assert files_of(run.parent) == before


# -- the one that stands there ---------------------------------------------------------------------------------------


def test_a_refused_engine_leaves_the_one_that_stands_there_and_it_still_answers(
    edge_ctc: EdgeCtc, small: Path, engines: Path, tmp_path: Path
) -> None:
    build = ("build-engine", "--runtime", "onnxruntime", "--precision", "fp16", "--out", engines)
    assert edge_ctc(*build, small).code == 0
    before = files_of(engines)
    spoilt = fp16_is_fp32_and(copy_of(small, tmp_path / "spoilt"), 0.1)
    finished = edge_ctc(*build, spoilt)
    assert finished.code == 70
    assert "not installed" in finished.err
    assert files_of(engines) == before
    assert edge_ctc("engine", "verify", engines / PLACES["fp16"]).code == 0


def test_a_refused_first_engine_leaves_no_file(edge_ctc: EdgeCtc, small: Path, engines: Path) -> None:
    fp16_is_fp32_and(small, 0.1)
    code, told = build_with(edge_ctc, small, engines, "--precision", "fp16")
    assert code == 70
    assert "Traceback" not in told


def test_the_gates_refusal_is_an_error_of_its_own(small: Path, engines: Path) -> None:
    with pytest.raises(GateError):
        build_engine(order_of(fp16_is_fp32_and(small, 0.1), engines), Silent())


def test_while_another_builds_an_engine_of_the_checkpoint_nothing_is_compiled(
    edge_ctc: EdgeCtc, checkpoint: Path, engines: Path
) -> None:
    (engines / "means").mkdir(parents=True)
    reporter = Silent()
    with durable.sole_writer(engines / "means"):
        code, told = build_with(edge_ctc, checkpoint, engines)
        with pytest.raises(ResultsHeldError):
            build_engine(order_of(checkpoint, engines), reporter)
    assert code == 75
    assert "another edge-ctc writes here" in told
    assert reporter.compiled == 0
    assert build_engine(order_of(checkpoint, engines), reporter).engine.record.state == "proved"


def test_the_former_engine_is_kept_when_another_is_built(checkpoint: Path, engines: Path, tmp_path: Path) -> None:
    first = build_engine(order_of(checkpoint, engines, "fp32"), Silent()).engine
    retrained = copy_of(checkpoint, tmp_path / "retrained", notice="trained once more")
    second = build_engine(order_of(retrained, engines, "fp32"), Silent()).engine
    assert second.folder == first.folder
    assert second.record.checkpoint_sha256 != first.record.checkpoint_sha256
    assert read_engine(first.folder.with_name(first.folder.name + ".former")).record == first.record
