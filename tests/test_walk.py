"""The walk of a run through the command line: folder in, rows and manifest out."""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_ctc.results.calls import COLUMNS
from tests.checkpoints import write_checkpoint
from tests.conftest import EdgeCtc
from tests.results import manifest_of, row_of, rows_of, tree


def test_a_run_becomes_one_row_per_cell_ranked_by_score(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    rows = rows_of(run)
    assert tuple(rows[0]) == COLUMNS
    assert sorted(row["cell_id"] for row in rows) == [f"{number:04d}" for number in range(1, 21)]
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 21)]
    assert {row["run_state"] for row in rows} == {"complete"}


def test_verdicts_follow_the_thresholds_that_stand_in_each_row(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    scores = [float(row["score"]) for row in rows_of(run)]
    cuts = {"ctc": scores[4], "review": scores[9]}
    edge_ctc("classify-run", run, "--checkpoint", write_checkpoint(tmp_path / "cut", thresholds=cuts))
    rows = rows_of(run)
    assert [row["verdict"] for row in rows] == ["CTC"] * 5 + ["REVIEW"] * 5 + ["LEUKOCYTE"] * 10
    assert {(float(row["threshold_ctc"]), float(row["threshold_review"])) for row in rows} == {(scores[4], scores[9])}


def test_the_manifest_commits_the_calls_and_every_file(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    manifest = manifest_of(run)
    calls = run.parent / manifest["calls"]["name"]
    assert hashlib.sha256(calls.read_bytes()).hexdigest() == manifest["calls"]["sha256"]
    assert manifest["calls"]["rows"] == 20
    for file in manifest["inputs"]:
        path = run / file["name"]
        stat = path.stat()
        assert (file["size"], file["mtime_ns"], file["state"]) == (stat.st_size, stat.st_mtime_ns, "used")
        assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest["files"] == {"on_disk": 81, "used": 80, "ignored": 1, "failed": 0, "pending": 0}
    assert manifest["cells"] == {"total": 20, "called": 20, "not_evaluable": 0, "pending": 0}
    assert sum(manifest["verdicts"].values()) == 20
    assert manifest["checkpoint"]["sha256"] == hashlib.sha256((checkpoint / "checkpoint.json").read_bytes()).hexdigest()


def test_results_lie_beside_the_run_and_nothing_is_written_into_it(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    before = tree(run)
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert tree(run) == before
    beside = sorted(path.name for path in run.parent.iterdir())
    assert beside == ["run", "run.ctc-calls.csv", "run.ctc-gallery.html", "run.ctc-run.json", "run.truth.csv"]


def test_results_go_where_out_says(edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "here"
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--out", out).code == 0
    written = ["run.ctc-calls.csv", "run.ctc-gallery.html", "run.ctc-run.json"]
    assert sorted(path.name for path in out.iterdir()) == written
    assert not (run.parent / "run.ctc-calls.csv").exists()


def test_the_gallery_of_a_complete_run_is_drawn_with_its_calls(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    gallery = run.parent / "run.ctc-gallery.html"
    assert str(gallery) in finished.out
    assert manifest_of(run)["gallery"] == gallery.name
    gallery.unlink()
    again = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--json")
    assert [one["state"] for one in json.loads(again.out)["runs"]] == ["unchanged"]
    assert gallery.exists(), "what is owed is drawn, though the calls are unchanged"


def test_calls_stand_where_the_gallery_cannot_be_written(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    (run.parent / "run.ctc-gallery.html").mkdir()
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 73
    assert "run.ctc-gallery.html" in finished.err
    assert len(rows_of(run)) == 20


def test_out_inside_the_run_is_refused(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--out", run / "results")
    assert finished.code == 78
    assert "inside the run" in finished.err
    assert not (run / "results").exists()


def test_the_first_line_says_checkpoint_engine_and_profile(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    first = edge_ctc("classify-run", run, "--checkpoint", checkpoint).out.splitlines()[0]
    sha256 = hashlib.sha256((checkpoint / "checkpoint.json").read_bytes()).hexdigest()
    assert "checkpoint means" in first
    assert sha256[:12] in first
    assert "onnxruntime" in first
    assert "profile flat" in first


def test_a_second_call_touches_no_file_and_ends_the_same(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    (run / "Images" / "0003_PE.tif").write_bytes(b"")
    first = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    before = tree(run.parent)
    second = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert (first.code, second.code) == (2, 2)
    assert tree(run.parent) == before
    assert "nothing to do" in second.out


def test_a_changed_image_costs_its_own_cell_only(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    old_calls = (run.parent / "run.ctc-calls.csv").read_bytes()
    old = {row["cell_id"]: row for row in rows_of(run)}
    shutil.copy(run / "Images" / "0001_PE.tif", run / "Images" / "0002_PE.tif")
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    new = {row["cell_id"]: row for row in rows_of(run)}
    assert manifest_of(run)["cells_reused"] == 19
    changed = {cell_id for cell_id, row in new.items() if row["classified_at_utc"] != old[cell_id]["classified_at_utc"]}
    assert changed == {"0002"}
    assert new["0002"]["score"] != old["0002"]["score"]
    assert {row["score"] for row in new.values()} >= {row["score"] for row in old.values() if row["cell_id"] != "0002"}
    (kept,) = run.parent.glob("run.ctc-calls.*.csv")
    assert kept.read_bytes() == old_calls
    assert manifest_of(run)["superseded"] == kept.name


def test_a_new_cell_is_added_and_the_rows_are_ranked_again(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    best = rows_of(run)[0]["cell_id"]
    for channel in ("BF", "DAPI", "PE", "APC"):
        shutil.copy(run / "Images" / f"{best}_{channel}.tif", run / "Images" / f"0000_{channel}.tif")
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    rows = rows_of(run)
    assert len(rows) == 21
    assert [row["cell_id"] for row in rows[:2]] == ["0000", best]
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 22)]


def test_another_checkpoint_calls_every_cell_again(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    other = write_checkpoint(tmp_path / "other", name="other", thresholds={"ctc": 9.0, "review": 8.0})
    assert edge_ctc("classify-run", run, "--checkpoint", other).code == 0
    assert manifest_of(run)["cells_reused"] == 0
    assert {row["checkpoint_name"] for row in rows_of(run)} == {"other"}
    assert len(list(run.parent.glob("run.ctc-calls.*.csv"))) == 1


def test_files_that_vanish_make_no_work(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    before = (run.parent / "run.ctc-calls.csv").read_bytes()
    for channel in ("BF", "DAPI"):
        (run / "Images" / f"0004_{channel}.tif").unlink()
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 0
    assert "gone since: 2" in finished.out
    assert (run.parent / "run.ctc-calls.csv").read_bytes() == before


def test_a_called_cell_keeps_its_row_when_its_files_vanish_and_others_change(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    before = {row["cell_id"]: row["score"] for row in rows_of(run)}
    for path in (*run.glob("Images/0004_*.tif"), run / "Images" / "0005_PE.tif"):
        path.unlink()
    os.utime(run / "Images" / "0001_BF.tif")
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 0
    assert "gone since: 5" in finished.out
    assert {row["cell_id"]: row["score"] for row in rows_of(run)} == before
    manifest = manifest_of(run)
    assert manifest["cells_reused"] == 19
    assert manifest["files"] == {"on_disk": 76, "used": 75, "ignored": 1, "failed": 0, "pending": 0}
    assert [file["state"] for file in manifest["inputs"]].count("gone") == 5
    before_files = tree(run.parent)
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    assert tree(run.parent) == before_files


def test_calls_that_somebody_edited_are_put_aside_and_made_again(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    calls = run.parent / "run.ctc-calls.csv"
    committed = rows_of(run)
    edited = calls.read_bytes() + b"seen by Dr. Rossi"
    calls.write_bytes(edited)
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert [row["verdict"] for row in rows_of(run)] == [row["verdict"] for row in committed]
    assert manifest_of(run)["calls"]["sha256"] == hashlib.sha256(calls.read_bytes()).hexdigest()
    (kept,) = run.parent.glob("run.ctc-calls.*.edited.csv")
    assert kept.read_bytes() == edited
    assert str(kept) in finished.out
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    assert list(run.parent.glob("run.ctc-calls.*.csv")) == [kept]


def test_every_layout_gives_the_same_scores(edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path) -> None:
    scores = []
    for layout in ("flat", "multipage"):
        folder = tmp_path / layout
        assert edge_ctc("simulate", folder, "--cells", 70, "--ctcs", 9, "--seed", 4, "--layout", layout).code == 0
        assert edge_ctc("classify-run", folder, "--checkpoint", checkpoint).code == 0
        scores.append({int(row["cell_id"]): (row["score"], row["verdict"]) for row in rows_of(folder)})
        assert manifest_of(folder)["profile"]["name"] == layout
    assert scores[0] == scores[1]


def test_leading_zeros_belong_to_the_cell_id(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    for channel in ("BF", "DAPI", "PE", "APC"):
        shutil.copy(run / "Images" / f"0001_{channel}.tif", run / "Images" / f"01_{channel}.tif")
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert {"01", "0001"} <= {row["cell_id"] for row in rows_of(run)}


def test_our_own_outputs_and_a_truth_are_never_input(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    for name in ("run.ctc-calls.csv", "run.ctc-run.json", "run.truth.csv"):
        shutil.copy(run.parent / name, run / name)
        (run.parent / name).unlink()
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint).code == 0
    assert manifest_of(run)["files"] == {"on_disk": 84, "used": 80, "ignored": 4, "failed": 0, "pending": 0}


def test_links_are_not_followed_out_of_the_run(edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.tif"
    (run / "Images" / "0001_BF.tif").rename(outside)
    (run / "Images" / "0001_BF.tif").symlink_to(outside)
    (run / "elsewhere").symlink_to(tmp_path)
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert finished.code == 2
    assert row_of(run, "0001")["channels_missing"] == "BF"
    assert manifest_of(run)["links_not_followed"] == 2
    assert manifest_of(run)["files"]["on_disk"] == 80


def test_an_unknown_pixel_size_is_said_in_every_row(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    assert {row["pixel_size_um"] for row in rows_of(run)} == {"unknown"}
    assert all("pixel_size_unchecked" in row["flags"].split("|") for row in rows_of(run))


def test_a_checkpoint_of_fewer_channels_leaves_the_other_files_alone(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    bright_field = write_checkpoint(tmp_path / "bf", channels=("BF",))
    assert edge_ctc("classify-run", run, "--checkpoint", bright_field).code == 0
    assert {row["channels_used"] for row in rows_of(run)} == {"BF"}
    assert manifest_of(run)["files"] == {"on_disk": 81, "used": 20, "ignored": 61, "failed": 0, "pending": 0}


def test_channels_may_stand_in_another_order_than_in_the_profile(
    edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path
) -> None:
    turned = write_checkpoint(tmp_path / "turned", channels=("APC", "PE", "DAPI", "BF"))
    for layout in ("flat", "multipage"):
        folder = tmp_path / layout
        edge_ctc("simulate", folder, "--cells", 10, "--ctcs", 3, "--layout", layout)
        edge_ctc("classify-run", folder, "--checkpoint", checkpoint, "--out", tmp_path / "a")
        edge_ctc("classify-run", folder, "--checkpoint", turned, "--out", tmp_path / "b")
        first = {row["cell_id"]: float(row["score"]) for row in rows_of(folder, tmp_path / "a")}
        second = {row["cell_id"]: float(row["score"]) for row in rows_of(folder, tmp_path / "b")}
        assert first == pytest.approx(second, abs=1e-5)


def test_json_is_one_document_on_standard_output(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    finished = edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--json")
    report = json.loads(finished.out)
    (one,) = report["runs"]
    assert (report["exit_code"], one["run_id"], one["state"]) == (0, "run", "called")
    assert one["cells"] == manifest_of(run)["cells"]
    assert Path(one["calls"]).is_file()


def test_several_runs_are_called_one_after_the_other(edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path) -> None:
    for name in ("a", "b"):
        edge_ctc("simulate", tmp_path / name, "--cells", 5, "--ctcs", 1)
    assert edge_ctc("classify-run", tmp_path / "a", tmp_path / "b", "--checkpoint", checkpoint).code == 0
    assert len(rows_of(tmp_path / "a")) == len(rows_of(tmp_path / "b")) == 5


def test_one_that_is_no_run_does_not_stop_the_others(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    finished = edge_ctc("classify-run", run.parent / "absent", run, "--checkpoint", checkpoint, "--json")
    assert finished.code == 2
    assert "absent" in finished.err
    assert [one["state"] for one in json.loads(finished.out)["runs"]] == ["failed", "called"]
    assert len(rows_of(run)) == 20


def test_two_runs_of_one_name_are_refused_for_one_out(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    twin = tmp_path / "twin" / "run"
    shutil.copytree(run, twin)
    finished = edge_ctc("classify-run", run, twin, "--checkpoint", checkpoint, "--out", tmp_path / "out")
    assert finished.code == 64
    assert not (tmp_path / "out" / "run.ctc-calls.csv").exists()


def test_a_run_with_awkward_characters_in_its_name_is_called(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    awkward = run.parent / "=città (à 1), «x»"
    run.rename(awkward)
    assert edge_ctc("classify-run", awkward, "--checkpoint", checkpoint).code == 0
    assert {row["run_id"] for row in rows_of(awkward)} == {"'=città (à 1), «x»"}
    assert manifest_of(awkward)["run_id"] == "=città (à 1), «x»"


def test_candidates_are_listed_by_rank(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    edge_ctc("classify-run", run, "--checkpoint", checkpoint)
    finished = edge_ctc("candidates", run, "--top", 3, "--truth", run.parent / "run.truth.csv")
    assert finished.code == 0
    cells = [row["cell_id"] for row in rows_of(run)]
    listed = [cell for cell in cells if re.search(rf"\b{cell}\b", finished.out)]
    assert listed == cells[:3]
    assert "truth: 5 CTC in the run" in finished.out


def test_the_simulator_is_reproducible_from_the_command_line(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert edge_ctc("simulate", tmp_path / name, "--cells", 6, "--ctcs", 2, "--seed", 9).code == 0
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.tif"))
    assert len(files) == 24
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    with (tmp_path / "a.truth.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))
    assert [row["label"] for row in truth].count("CTC") == 2


def test_usage_errors_end_with_64(edge_ctc: EdgeCtc) -> None:
    assert edge_ctc("classify-run").code == 64
    assert edge_ctc("classify-run", "--no-such-option", os.devnull).code == 64
    assert edge_ctc("no-such-command").code == 64


def test_help_and_version_end_with_0(edge_ctc: EdgeCtc) -> None:
    assert edge_ctc("--help").code == 0
    assert "classify-run" in edge_ctc("--help").out
    assert "--checkpoint" in edge_ctc("classify-run", "--help").out
    assert edge_ctc("--version").out.startswith("edge-ctc ")


def test_a_run_of_the_same_name_elsewhere_is_not_taken_for_this_one(
    edge_ctc: EdgeCtc, tmp_path: Path, checkpoint: Path
) -> None:
    for patient, ctcs in (("a", 4), ("b", 0)):
        edge_ctc("simulate", tmp_path / patient / "P", "--cells", 8, "--ctcs", ctcs)
        for path in (tmp_path / patient).rglob("*"):
            os.utime(path, (1_600_000_000, 1_600_000_000))
    out = tmp_path / "results"
    assert edge_ctc("classify-run", tmp_path / "a" / "P", "--checkpoint", checkpoint, "--out", out).code == 0
    before = tree(out)
    finished = edge_ctc("classify-run", tmp_path / "b" / "P", "--checkpoint", checkpoint, "--out", out)
    assert finished.code == 73
    assert "is of the run ../a/P, not of ../b/P" in finished.err
    assert tree(out) == before


def test_a_cell_of_unneeded_channels_alone_gets_its_row_in_a_second_call_too(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path
) -> None:
    bright_field = write_checkpoint(tmp_path / "bf", channels=("BF",))
    edge_ctc("classify-run", run, "--checkpoint", bright_field)
    shutil.copy(run / "Images" / "0001_DAPI.tif", run / "Images" / "9999_DAPI.tif")
    assert edge_ctc("classify-run", run, "--checkpoint", bright_field).code == 2
    assert row_of(run, "9999")["reason"] == "channel BF is missing"
    before = tree(run.parent)
    assert edge_ctc("classify-run", run, "--checkpoint", bright_field).code == 2
    assert tree(run.parent) == before


def test_results_do_not_enter_the_run_through_a_link(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    link = run.parent / "link"
    link.symlink_to(run)
    assert edge_ctc("classify-run", run, "--checkpoint", checkpoint, "--out", link).code == 78
    assert edge_ctc("classify-run", link, "--checkpoint", checkpoint, "--out", run).code == 78
    assert edge_ctc("classify-run", link, "--checkpoint", checkpoint).code == 0
    assert len(rows_of(link)) == 20
    assert not list(run.glob("*.ctc-*"))


def test_a_path_through_a_link_is_the_systems_not_the_texts(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(run / "Images")
    assert edge_ctc("classify-run", tmp_path / "link" / ".." / ".." / "run", "--checkpoint", checkpoint).code == 0
    assert len(rows_of(run)) == 20


def test_an_empty_run_is_a_mistake_and_not_the_current_folder(
    edge_ctc: EdgeCtc, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run)
    assert edge_ctc("classify-run", "").code == 64
    assert not list(run.parent.glob("*.ctc-*"))


def test_every_error_is_in_the_json_too(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    finished = edge_ctc("classify-run", run, "--checkpoint", tmp_path / "absent", "--json")
    assert finished.code == 66
    report = json.loads(finished.out)
    assert report["exit_code"] == 66
    assert [(one["run"], one["state"], one["exit_code"]) for one in report["runs"]] == [(str(run), "failed", 66)]
    assert "no such folder" in report["runs"][0]["error"]


def test_square_brackets_in_a_name_are_shown(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    bracketed = run.parent / "P[old]"
    run.rename(bracketed)
    edge_ctc("classify-run", bracketed, "--checkpoint", checkpoint)
    assert "Top candidates of P[old]" in edge_ctc("candidates", bracketed, "--top", 1).out


def test_a_name_in_another_encoding_is_called_and_printed_escaped(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    strange = Path(os.fsdecode(os.fsencode(run.parent) + b"/r\xff\x1b[31m"))
    run.rename(strange)
    finished = edge_ctc("classify-run", strange, "--checkpoint", checkpoint)
    assert finished.code == 0
    assert finished.out.isprintable() or set(finished.out) - {"\n"} <= {c for c in finished.out if c.isprintable()}
    assert len(list(run.parent.glob("*.ctc-run.json"))) == 1


def test_a_run_name_without_room_for_the_results_names_is_refused_before_work(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    long = run.parent / ("r" * 215)
    run.rename(long)
    finished = edge_ctc("classify-run", long, "--checkpoint", checkpoint)
    assert finished.code == 73
    assert "too long a name" in finished.err


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "edge_ctc", *map(str, arguments)]


def test_a_reader_that_goes_away_does_not_stop_the_work(run: Path, checkpoint: Path) -> None:
    with subprocess.Popen(command("classify-run", run, "--checkpoint", checkpoint), stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.close()
        assert child.wait(60) == 0
    assert len(rows_of(run)) == 20


def test_an_interrupt_is_said_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    # What a shell starts in the background ignores interrupts, and so would the child.
    heard = ["env", "--default-signal=INT", *command("simulate", tmp_path / "run", "--cells", 100, "--rate", 20)]
    with subprocess.Popen(heard, stderr=subprocess.PIPE, text=True) as child:
        while not list(tmp_path.glob("run/Images/*.tif")):
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "interrupted" in said
    assert list(tmp_path.iterdir()) == []
