"""Doctor says what is broken and what mends it, touches nothing, and never waits for a share that is gone."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from edge_ctc import __version__
from edge_ctc.checkpoint import open_checkpoint
from edge_ctc.doctor.clock import FAR_S, SKEW_S, clock_finding, largest_error_us
from edge_ctc.doctor.engines import check_engines, engine_findings
from edge_ctc.doctor.examine import Question, examine
from edge_ctc.doctor.findings import Finding, Name, Status, from_error, is_faultless
from edge_ctc.doctor.folders import Seen, look_at, try_writing
from edge_ctc.doctor.gpu import Graphics, graphics_findings
from edge_ctc.doctor.mounts import Mount, mount_of, parse_mounts, read_mounts
from edge_ctc.doctor.places import LITTLE_BYTES, TOO_LITTLE_BYTES, disk_findings, export_finding, results_finding
from edge_ctc.engine.cuda import Device
from edge_ctc.engine.installed import InstalledEngine, install, read_engine
from edge_ctc.engine.places import failed_rebuild_of, find_engines, former_of
from edge_ctc.engine.runtimes import Machine, Runtime, this_machine
from edge_ctc.errors import EngineError, UnavailableError
from edge_ctc.simulate import Layout, write_run
from tests.conftest import EdgeCtc
from tests.stand_ins import build

SLEEPS = (sys.executable, "-c", "import time; time.sleep(60)")
"""In the place of `touch.py`: a share that is gone holds whoever touches it."""

MOUNTINFO = r"""22 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:5 - proc proc rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
40 28 8:17 / /data rw,relatime shared:20 - xfs /dev/sdb1 rw,attr2
41 40 0:50 / /data/exports rw,relatime shared:21 master:3 - autofs systemd-1 rw,fd=49
42 41 0:51 / /data/exports rw,relatime shared:22 - cifs //scanner/exports rw,vers=3.1.1,username=lab
43 28 0:52 / /mnt/on\040demand rw,relatime - autofs systemd-1 rw,fd=50
44 28 0:53 / /mnt/archive ro,relatime - nfs4 nas:/archive rw,vers=4.2
45 28 0:54 / /mnt/cd rw - iso9660 /dev/sr0 ro
46 28 0:55 / /mnt/ssh rw - fuse.sshfs lab@nas:/ rw

a line of another kernel
"""
MOUNTS = parse_mounts(MOUNTINFO)

DEVICE = Device("NVIDIA RTX A2000", "8.6", "13.0", "580.95.05", 6_000_000_000)
WITHOUT = UnavailableError("PyCUDA is not installed (No module named 'pycuda'); install it: `pip install pycuda`")
HEALTHY = Graphics(DEVICE, "580.95.05", {"tensorrt-rtx": "1.7", "onnxruntime": "1.32"}, "2026.1")
CPU_ONLY = Graphics(WITHOUT, None, {"onnxruntime": "1.32"}, None)
NOTHING: frozenset[Runtime] = frozenset()


def seen(folder: Path, entries: int | None = 3, **changes: Any) -> Seen:
    return replace(Seen(folder, folder, entries, 1.0, 10**11, "", is_missing=False), **changes)


def statuses(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.name, finding.status) for finding in findings]


def only(out: str, name: str) -> list[str]:
    """The lines of that name."""
    return [line for line in out.splitlines() if line[9:].startswith(name)]


def as_json(edge_ctc: EdgeCtc, *arguments: object) -> list[dict[str, str]]:
    findings: list[dict[str, str]] = json.loads(edge_ctc("doctor", "--json", *arguments).out)["findings"]
    return findings


# The command


def test_it_names_everything_in_its_order_with_a_mend_exactly_where_one_is_needed(
    edge_ctc: EdgeCtc, run: Path, checkpoint: Path
) -> None:
    ended = edge_ctc("doctor", "--json", "--export", run.parent, "--checkpoint", checkpoint)
    document = json.loads(ended.out)
    assert list(document) == ["schema_version", "software_version", "findings"]
    assert (document["schema_version"], document["software_version"]) == (1, __version__)
    assert all(list(finding) == ["name", "status", "found", "mend"] for finding in document["findings"])
    assert tuple(dict.fromkeys(finding["name"] for finding in document["findings"])) == get_args(Name)
    for finding in document["findings"]:
        assert finding["status"] in get_args(Status)
        assert finding["found"]
        assert (finding["mend"] == "") == (finding["status"] == "ok")
    assert (ended.code, ended.err) == (0, "")


def test_people_get_the_same_as_one_line_each(edge_ctc: EdgeCtc, run: Path, checkpoint: Path) -> None:
    arguments = ("--export", run.parent, "--checkpoint", checkpoint)
    findings, lines = as_json(edge_ctc, *arguments), edge_ctc("doctor", *arguments).out.splitlines()
    assert [(line[:9].strip(), line[9:21].strip()) for line in lines] == [
        (finding["status"], finding["name"]) for finding in findings
    ]
    sha256 = open_checkpoint(checkpoint).sha256[:12]
    assert f"ok       checkpoint  means ({sha256}): every byte as trained" in lines
    engine = next(line for line in lines if "engine      " in line)
    assert engine.startswith("warning  engine      none is built in ")
    assert engine.endswith(" -> `edge-ctc build-engine CHECKPOINT`")


def test_the_lines_need_no_character_beyond_ascii(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert edge_ctc("doctor", "--export", folder).out.isascii()


def test_without_options_the_shipped_checkpoints_are_looked_at_and_no_place_is_named(edge_ctc: EdgeCtc) -> None:
    ended = edge_ctc("doctor")
    assert ended.code == 0
    assert ["reference (" in line or "reference-bf (" in line for line in only(ended.out, "checkpoint")] == [True, True]
    assert "not named" in only(ended.out, "export")[0]
    assert "not named" in only(ended.out, "results")[0]
    assert len(only(ended.out, "disk")) == 1


def test_no_name_of_a_run_and_no_cell_is_told(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    export = tmp_path / "exports"
    run = export / "PATIENT-QUERIDA"
    export.mkdir()
    write_run(run, 3, 1, seed=1, layout=Layout.FLAT)
    for image in list((run / "Images").iterdir()):
        image.rename(image.with_name(f"88447711{image.name}"))
    assert edge_ctc("classify-run", run, "--profile", "flat").code in (0, 2)
    assert "884477110001" in (export / "PATIENT-QUERIDA.ctc-calls.csv").read_text()
    later = time.time() + 2 * FAR_S
    for when in (0.0, later):
        os.utime(run, (when, when))
        for form in ([], ["--json"]):
            ended = edge_ctc("doctor", "--export", export, *form)
            assert str(export) in ended.out
            for secret in ("QUERIDA", "88447711", ".tif", "ctc-calls"):
                assert secret not in ended.out + ended.err


def test_it_leaves_everything_as_it_was(edge_ctc: EdgeCtc, run: Path, tmp_path: Path) -> None:
    def state() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_size) for path in tmp_path.rglob("*"))

    before = state()
    engines, out = tmp_path / "no" / "engines", tmp_path / "no" / "results"
    assert edge_ctc("doctor", "--export", run.parent, "--out", out, "--engines", engines).code == 2
    assert state() == before


def test_this_process_itself_never_touches_the_folders_that_were_named(
    edge_ctc: EdgeCtc, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched: list[str] = []
    for call in ("stat", "lstat", "open", "listdir", "scandir", "access", "statvfs", "readlink"):
        original = getattr(os, call)

        def recorded(path: Any, *rest: Any, original: Any = original, **named: Any) -> Any:
            touched.append(os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else "")
            return original(path, *rest, **named)

        monkeypatch.setattr(os, call, recorded)
    edge_ctc("doctor", "--export", run.parent, "--out", tmp_path / "results")
    assert any(path.endswith("reference") for path in touched)
    assert not [path for path in touched if path.startswith(str(tmp_path))]


def test_an_empty_name_is_wrong_usage(edge_ctc: EdgeCtc) -> None:
    assert edge_ctc("doctor", "--export", "").code == 64


def test_a_healthy_machine_is_told_in_two_seconds(edge_ctc: EdgeCtc, run: Path) -> None:
    began = time.monotonic()
    edge_ctc("doctor", "--export", run.parent)
    assert time.monotonic() - began < 2


# Checkpoints


@pytest.mark.parametrize("name", ["model.onnx", "reference.npz", "checkpoint.json"])
def test_a_damaged_checkpoint_is_a_fault_that_names_the_file(
    edge_ctc: EdgeCtc, checkpoint: Path, tmp_path: Path, name: str
) -> None:
    damaged = shutil.copytree(checkpoint, tmp_path / "damaged")
    content = bytearray((damaged / name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (damaged / name).write_bytes(content)
    ended = edge_ctc("doctor", "--checkpoint", damaged)
    assert ended.code == 2
    (line,) = only(ended.out, "checkpoint")
    assert line.startswith(f"fault    checkpoint  {damaged / name}: ")
    assert "copy the checkpoint again" in line.rpartition(" -> ")[2]


def test_a_checkpoint_that_is_not_there_is_a_fault(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    ended = edge_ctc("doctor", "--checkpoint", tmp_path / "nothing")
    assert ended.code == 2
    assert "no such folder" in only(ended.out, "checkpoint")[0]


# Engines


@pytest.fixture
def engines(edge_ctc: EdgeCtc, checkpoint: Path, tmp_path: Path) -> Path:
    """A folder with one engine, for ONNX Runtime."""
    folder = tmp_path / "engines"
    assert edge_ctc("build-engine", checkpoint, "--runtime", "onnxruntime", "--out", folder).code == 0
    return folder


def installed(engines: Path) -> InstalledEngine:
    (folder,) = find_engines(engines)
    return read_engine(folder)


def beside(engines: Path, name: str, **changes: object) -> Path:
    """Install the engine a second time, its record changed."""
    engine = installed(engines)
    folder = engine.folder.with_name(name)
    install(folder, engine.record.model_copy(update=changes), engine.plan, None)
    return folder


def without_gpu(runtime: Runtime) -> Machine:
    if runtime == "onnxruntime":
        return this_machine(runtime)
    raise UnavailableError("no GPU; run `nvidia-smi`")


def engine_lines(engines: Path, machine_of: Any = without_gpu) -> dict[str, Finding]:
    """By the name of the engine's folder."""
    checked = check_engines(engines, {}, look_at, machine_of)
    return {one.folder.name: found for one, found in zip(checked, engine_findings(engines, checked), strict=True)}


def test_an_engine_that_fits_is_ok(edge_ctc: EdgeCtc, engines: Path, checkpoint: Path) -> None:
    ended = edge_ctc("doctor", "--engines", engines, "--checkpoint", checkpoint)
    (line,) = only(ended.out, "engine")
    assert line.startswith(f"ok       engine      {installed(engines).folder}: proved and fits: onnxruntime ")
    assert ended.code == 0


@pytest.mark.parametrize("name", ["engine.plan", "engine.json"])
def test_a_damaged_engine_is_a_fault_that_names_the_file(edge_ctc: EdgeCtc, engines: Path, name: str) -> None:
    file = installed(engines).folder / name
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    ended = edge_ctc("doctor", "--engines", engines)
    (line,) = only(ended.out, "engine")
    assert line.startswith(f"fault    engine      {file}: ")
    assert "build the engine again" in line
    assert ended.code == 2


def test_an_engine_of_another_runtime_version_or_checkpoint_fits_no_more(
    edge_ctc: EdgeCtc, engines: Path, checkpoint: Path, tmp_path: Path
) -> None:
    folder = installed(engines).folder
    found = engine_lines(engines, lambda runtime: Machine(runtime, "0.1"))[folder.name]
    assert (found.status, found.mend.split(":")[0]) == ("fault", "classify-run builds it anew; by hand")
    assert "runtime version: built for 1." in found.found
    assert ", now 0.1" in found.found
    other = shutil.copytree(checkpoint, tmp_path / "other")
    description = other / "checkpoint.json"
    description.write_text(description.read_text() + " ")
    ended = edge_ctc("doctor", "--engines", engines, "--checkpoint", other)
    assert "checkpoint: built for " in only(ended.out, "engine")[0]
    assert ended.code == 2


def test_one_that_fits_no_more_is_but_a_warning_where_another_takes_its_place(engines: Path) -> None:
    beside(engines, "onnxruntime-fp32-old", runtime_version="0.1")
    found = engine_lines(engines)
    assert found.pop("onnxruntime-fp32-old").status == "warning"
    assert [one.status for one in found.values()] == ["ok"]


def test_of_several_engines_that_fit_one_must_be_named(engines: Path) -> None:
    beside(engines, "onnxruntime-fp16-cpu")
    found = engine_lines(engines)
    assert [one.status for one in found.values()] == ["warning", "warning"]
    assert all("--engine" in one.mend for one in found.values())


def test_an_engine_that_was_never_proved_is_a_fault_unless_another_fits(engines: Path) -> None:
    proved = installed(engines).folder
    beside(engines, "onnxruntime-fp32-portable", state="unproven", parity=None)
    assert engine_lines(engines)["onnxruntime-fp32-portable"].status == "warning"
    shutil.rmtree(proved)
    found = engine_lines(engines)["onnxruntime-fp32-portable"]
    assert (found.status, "never proved" in found.found, "--engine cpu" in found.mend) == ("fault", True, True)


def test_a_folder_of_engines_that_is_named_and_holds_none_is_a_fault(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    ended = edge_ctc("doctor", "--engines", tmp_path)
    assert "no engine was ever built into it" in only(ended.out, "engine")[0]
    assert ended.code == 2


def test_a_rebuilding_that_ended_badly_is_told_with_the_command_that_tries_it_again(engines: Path) -> None:
    folder = installed(engines).folder
    failed_rebuild_of(folder).write_text("tried")
    found = engine_lines(engines, lambda runtime: Machine(runtime, "0.1"))[folder.name]
    assert "building it anew ended badly" in found.found
    assert found.mend == f"`{installed(engines).record.build_command(engines)}`"


def test_an_engine_whose_gpu_is_gone_cannot_run(engines: Path) -> None:
    beside(engines, "tensorrt-fp32-nvidia-l4-sm89", runtime="tensorrt", gpu_name="NVIDIA L4")
    found = engine_lines(engines)["tensorrt-fp32-nvidia-l4-sm89"]
    assert (found.found.rpartition(": ")[2], found.mend) == ("no GPU", "run `nvidia-smi`")


def test_an_engine_whose_checkpoint_was_moved_asks_for_its_place(engines: Path, tmp_path: Path) -> None:
    beside(engines, "onnxruntime-fp32-moved", checkpoint_folder=str(tmp_path / "elsewhere"))
    assert "--checkpoint" in engine_lines(engines)["onnxruntime-fp32-moved"].mend


def test_an_installation_that_was_cut_short_is_told_and_not_mended(edge_ctc: EdgeCtc, engines: Path) -> None:
    folder = installed(engines).folder
    folder.rename(former_of(folder))
    ended = edge_ctc("doctor", "--engines", engines)
    assert ended.code == 2
    assert f"`edge-ctc engine verify {folder}`" in only(ended.out, "engine")[0]
    assert not folder.exists()
    edge_ctc("engine", "verify", folder)
    assert edge_ctc("doctor", "--engines", engines).code == 0


def test_an_engines_folder_that_cannot_be_read_is_a_fault(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = edge_ctc("doctor", "--engines", tmp_path / "file")
    assert (ended.code, only(ended.out, "engine")[0][:5]) == (2, "fault")


# Driver, GPU, runtimes, PyCUDA


def test_with_everything_there_all_four_are_ok() -> None:
    found = graphics_findings(HEALTHY, frozenset({"tensorrt-rtx"}))
    assert [(one.name, one.status, one.found) for one in found] == [
        ("driver", "ok", "NVIDIA 580.95.05, serves CUDA 13.0"),
        ("gpu", "ok", "NVIDIA RTX A2000, compute capability 8.6, 6.0 GB"),
        ("runtime", "ok", "tensorrt-rtx 1.7"),
        ("runtime", "ok", "onnxruntime 1.32"),
        ("pycuda", "ok", "PyCUDA 2026.1"),
    ]


def test_without_gpu_and_tensorrt_nothing_is_a_fault_and_nobody_asks_for_pycuda() -> None:
    found = graphics_findings(CPU_ONLY, frozenset({"onnxruntime"}))
    assert statuses(found) == [
        ("driver", "warning"),
        ("gpu", "warning"),
        ("runtime", "ok"),
        ("runtime", "warning"),
        ("pycuda", "ok"),
    ]
    assert "CPU" in found[3].found


def test_an_engine_that_needs_them_makes_absent_things_faults() -> None:
    found = graphics_findings(CPU_ONLY, frozenset({"tensorrt"}))
    assert statuses(found) == [
        ("driver", "fault"),
        ("gpu", "fault"),
        ("runtime", "ok"),
        ("runtime", "fault"),
        ("pycuda", "fault"),
    ]
    assert found[3].found == "tensorrt is not installed, and an engine needs it"


def test_where_tensorrt_for_rtx_is_installed_pycuda_is_asked_for() -> None:
    graphics = replace(CPU_ONLY, driver_version="580.95.05", runtimes={"tensorrt-rtx": "1.7", "onnxruntime": "1.32"})
    driver, gpu, *_, pycuda = graphics_findings(graphics, NOTHING)
    assert (driver.status, driver.found) == ("ok", "NVIDIA 580.95.05")
    assert (gpu.status, gpu.mend) == ("warning", "install it: `pip install pycuda`")
    assert (pycuda.status, "the extra tensorrt-rtx does not bring it" in pycuda.found) == ("warning", True)


def test_without_onnx_runtime_nothing_can_be_called() -> None:
    found = graphics_findings(replace(HEALTHY, runtimes={"tensorrt-rtx": "1.7"}), NOTHING)
    (fault,) = [one for one in found if one.status == "fault"]
    assert (fault.found, fault.mend.split(";")[0]) == ("onnxruntime is not installed", "`pip install onnxruntime`")


@pytest.mark.parametrize(("devices", "status", "found"), [("1", "ok", "FakeCUDA"), ("0", "warning", "no CUDA-capable")])
def test_real_pycuda_is_asked_for_the_gpu(devices: str, status: str, found: str, tmp_path: Path) -> None:
    environment = build().environment() | {"FAKECUDA_DEVICES": devices, "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-m", "edge_ctc", "doctor", "--json"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    findings = {one["name"]: one for one in json.loads(ended.stdout)["findings"]}
    assert (findings["gpu"]["status"], findings["pycuda"]["status"]) == (status, "ok")
    assert found in findings["gpu"]["found"]
    assert (ended.returncode, ended.stderr) == (0, "")


# The export folder and its mount


@pytest.mark.parametrize(
    ("folder", "kind", "is_read_only", "is_network"),
    [
        ("/data", "xfs", False, False),
        ("/database", "ext4", False, False),
        ("/data/exports/P07", "cifs", False, True),
        ("/mnt/on demand", "autofs", False, False),
        ("/mnt/archive/2026", "nfs4", True, True),
        ("/mnt/cd", "iso9660", True, False),
        ("/mnt/ssh", "fuse.sshfs", False, True),
    ],
)
def test_a_folder_lies_on_the_innermost_mount_and_the_last_one_there(
    folder: str, kind: str, is_read_only: bool, is_network: bool
) -> None:
    mount = mount_of(Path(folder), MOUNTS)
    assert mount is not None
    assert (mount.kind, mount.is_read_only, mount.is_network) == (kind, is_read_only, is_network)


def test_the_root_of_this_machine_is_mounted_from_something() -> None:
    mount = mount_of(Path("/"), read_mounts())
    assert mount is not None
    assert not mount.is_network


def told(folder: str, entries: int | None = 3, **changes: Any) -> Finding:
    path = Path(folder)
    return export_finding(path, seen(path, entries, **changes), mount_of(path, MOUNTS))


def test_a_network_share_is_named_as_such_without_its_server_or_user() -> None:
    assert told("/data/exports") == Finding(
        "export",
        "ok",
        "/data/exports: network share (cifs): events do not come from the other side; "
        "the folder is looked at regularly; 3 entries",
    )


def test_a_local_folder_tells_its_file_system_and_whether_it_is_read_only() -> None:
    assert told("/data/runs").found == "/data/runs: local (xfs); 3 entries"
    assert told("/mnt/cd").found == "/mnt/cd: local (iso9660); read-only; 3 entries"


def test_an_empty_local_folder_may_be_a_mount_point_without_its_mount() -> None:
    assert (told("/data/x", 0).status, told("/data/x", 0).mend) == ("warning", "if a share belongs there, mount it")
    assert told("/data/exports", 0).status == "ok"


def test_what_is_mounted_when_it_is_used_and_is_not_mounted_then_is_a_warning() -> None:
    assert told("/mnt/on demand").status == "warning"
    assert "nothing is mounted there now" in told("/mnt/on demand").found


def test_a_folder_that_is_missing_or_cannot_be_listed_is_a_fault() -> None:
    missing = told("/data/x", None, problem="No such file or directory", is_missing=True)
    stale = told("/data/exports", None, problem="Stale file handle")
    assert (missing.status, "mount the share" in missing.mend) == ("fault", True)
    assert (stale.status, "server" in stale.mend) == ("fault", True)
    assert "rights" in told("/data/x", None, problem="Permission denied").mend


def test_a_kernel_that_tells_nothing_of_mounts_costs_only_the_kind() -> None:
    assert parse_mounts("") == ()
    assert export_finding(Path("/x"), seen(Path("/x")), None).status == "ok"


@pytest.mark.parametrize("kind", ["missing", "file", "fifo"])
def test_an_export_that_is_no_folder_ends_with_two(edge_ctc: EdgeCtc, tmp_path: Path, kind: str) -> None:
    export = tmp_path / "export"
    if kind == "file":
        export.write_text("")
    if kind == "fifo":
        os.mkfifo(export)
    ended = edge_ctc("doctor", "--export", export)
    assert ended.code == 2
    assert [only(ended.out, name)[0][:5] for name in ("export", "results")] == ["fault", "fault"]


def test_what_lies_in_a_folder_is_counted_and_its_newest_time_told(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / str(number)).mkdir()
    os.utime(tmp_path / "1", (0, 4e9))
    (tmp_path / "gone").symlink_to("nowhere")
    found = look_at(tmp_path)
    assert found is not None
    assert (found.entries, found.newest_s, found.problem, found.real) == (4, 4e9, "", tmp_path)
    assert found.free_bytes
    through_link = look_at(tmp_path / "gone")
    assert through_link is not None
    assert (through_link.place, through_link.is_missing) == (tmp_path, True)


# Shares that do not answer


def test_a_share_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    began = time.monotonic()
    assert look_at(tmp_path, 0.2, SLEEPS) is None
    assert try_writing(tmp_path, 0.2, SLEEPS) is None
    assert time.monotonic() - began < 2


def test_everything_on_a_share_that_does_not_answer_is_a_fault_and_the_rest_is_told(tmp_path: Path) -> None:
    share = tmp_path / "share"

    def look(folder: Path) -> Seen | None:
        return None if folder.is_relative_to(share) else look_at(folder)

    asked = Question(share / "exports", share / "out", share / "checkpoint", share / "engines", engines_named=False)
    found = examine(asked, look)
    silent = [finding for finding in found if "does not answer" in finding.found]
    assert [one.name for one in silent] == ["engine", "checkpoint", "disk", "disk", "export", "results"]
    assert {one.status for one in silent} == {"fault"}
    assert all("mount it again" in one.mend for one in silent)
    assert {"driver", "gpu", "clock"} <= {one.name for one in found}
    assert not is_faultless(found)


def test_a_folder_is_asked_once_whoever_wants_to_know(tmp_path: Path) -> None:
    asked: list[Path] = []

    def look(folder: Path) -> Seen | None:
        asked.append(folder)
        return look_at(folder)

    examine(Question(tmp_path, None, None, tmp_path, engines_named=False), look)
    assert len(asked) == len(set(asked))


# Rights to write


def test_a_try_leaves_nothing(tmp_path: Path) -> None:
    assert try_writing(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_try_that_is_given_up_half_way_leaves_nothing(tmp_path: Path) -> None:
    slow = f"""
import os, time
from edge_ctc.doctor import touch

def never_ending(handle):
    open({str(tmp_path / "there")!r}, "x").write(str(os.listdir({str(tmp_path / "results")!r})))
    time.sleep(60)

os.fsync = never_ending
touch.main()
"""
    results = tmp_path / "results"
    results.mkdir()
    assert try_writing(results, 2.0, (sys.executable, "-c", slow)) is None
    assert ".edge-ctc-doctor.tmp-" in (tmp_path / "there").read_text()
    assert list(results.iterdir()) == []


def test_results_where_even_root_cannot_write_are_a_fault(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in ("/proc", "/proc/1/nothing", tmp_path / "file", tmp_path / "file" / "below"):
        ended = edge_ctc("doctor", "--out", out)
        assert ended.code == 2
        (line,) = only(ended.out, "results")
        assert line.startswith(f"fault    results     {out}: ")
        assert line.endswith("name another place with --out")


def test_results_that_can_be_written_or_made_are_ok(edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    assert "can write there" in only(edge_ctc("doctor", "--out", tmp_path).out, "results")[0]
    ended = edge_ctc("doctor", "--export", "/proc", "--out", tmp_path / "a" / "b")
    assert "can make it" in only(ended.out, "results")[0]
    assert not (tmp_path / "a").exists()


def test_a_full_disk_shows_in_the_try() -> None:
    found = results_finding(Path("/r"), Path("/r"), os.strerror(28))
    assert (found.status, "No space left" in found.found) == ("fault", True)


# Disk


@pytest.mark.parametrize(
    ("free", "status"),
    [
        (LITTLE_BYTES, "ok"),
        (LITTLE_BYTES - 1, "warning"),
        (TOO_LITTLE_BYTES, "warning"),
        (TOO_LITTLE_BYTES - 1, "fault"),
        (None, "fault"),
    ],
)
def test_little_room_is_a_warning_and_too_little_a_fault(free: int | None, status: Status) -> None:
    place = Path("/r")
    (found,) = disk_findings({"results": (place, seen(place, free_bytes=free, problem="Stale file handle"))})
    assert found.status == status
    assert (found.mend == "") == (status == "ok")


def test_a_disk_tells_its_room_in_gigabytes() -> None:
    (found,) = disk_findings({"engines": (Path("/e"), seen(Path("/e"), free_bytes=1_234_567_890_123))})
    assert found.found == "engines: 1,234.6 GB free in /e"


# Clock

NOW = 1_795_000_000.0


@pytest.mark.parametrize(
    ("error_us", "ahead_s", "status", "said"),
    [
        (12_345, 0.0, "ok", "synchronised, off by 12 ms at most"),
        (12_345, SKEW_S, "ok", "synchronised"),
        (12_345, SKEW_S + 1, "warning", "2 minutes behind the newest time in the export folder"),
        (12_345, FAR_S + 1, "fault", "1,440 minutes behind"),
        (16_000_000, 0.0, "warning", "not synchronised"),
        (None, 0.0, "warning", "the kernel does not tell"),
    ],
)
def test_a_clock_is_held_and_not_behind_what_was_written(
    error_us: int | None, ahead_s: float, status: Status, said: str
) -> None:
    found = clock_finding(error_us, NOW, {"the engines' folder": NOW - 5, "the export folder": NOW + ahead_s})
    assert (found.status, said in found.found) == (status, True)
    assert found.found.startswith("2026-11-18 ")


def test_the_kernel_of_this_machine_tells_how_far_its_clock_may_be_off() -> None:
    error_us = largest_error_us()
    assert error_us is None or 0 <= error_us <= 16_000_000


def test_a_file_of_the_future_shows_in_the_clocks_line(edge_ctc: EdgeCtc, run: Path) -> None:
    future = time.time() + 3 * FAR_S
    os.utime(run, (future, future))
    ended = edge_ctc("doctor", "--export", run.parent)
    assert ended.code == 2
    assert "behind the newest time in the export folder" in only(ended.out, "clock")[0]


# Messages


def test_an_errors_message_is_told_on_one_line_and_its_end_is_the_mend() -> None:
    assert from_error("engine", EngineError("/e: torn (\n a; b); build it again")) == Finding(
        "engine", "fault", "/e: torn ( a; b)", "build it again"
    )
    assert from_error("engine", EngineError("no advice")).mend


def test_a_mount_is_what_the_kernel_says() -> None:
    assert Mount(Path("/mnt/on demand"), "autofs", is_read_only=False) in MOUNTS
