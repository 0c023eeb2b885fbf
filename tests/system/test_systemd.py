"""The service in a booted systemd, installed by `edge-ctc install-service`: ready, hung, misled, without its share."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge_ctc.install_service import SHIPPED_EXECUTABLE, UNIT, shipped_units
from edge_ctc.simulate import Layout, write_run
from tests.checkpoints import write_checkpoint
from tests.system.nspawn import INSTALLED, Machine, booted, install_into, need, until

CONFIG = "/etc/edge-ctc/edge-ctc.toml"
SHARE = "/mnt/scanner"
RUNS = Path("/opt/runs")
CALLS = "{share}/{run}.ctc-calls.csv"

SETTINGS = f"""\
export_dir = "{SHARE}"
profile = "flat"
checkpoint = "{INSTALLED}/means"
runtime = "onnxruntime"
mount = "share"
settle_s = 0.3
look_every_s = 0.2
answer_within_s = 2.0
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Booted, edge-ctc installed but no service yet; the export folder is there, and nothing is mounted on it."""
    folder = tmp_path_factory.mktemp("system")
    runs = folder / "runs"
    for seed, name in enumerate(("P01", "P02", "P03")):
        runs.mkdir(exist_ok=True)
        write_run(runs / name, 20, 5, seed=seed, layout=Layout.FLAT)
    installed = folder / "edge-ctc"
    binds = install_into(installed)
    write_checkpoint(installed / "means")
    with booted({**binds, RUNS: runs}) as machine:
        machine.run("mkdir", "--parents", SHARE, "/etc/edge-ctc")
        configure(machine, SETTINGS)
        yield machine


@pytest.fixture(scope="module")
def service(machine: Machine) -> Machine:
    """The service, installed and started as an administrator does it; its watchdog made impatient."""
    drop_in = machine.root / "etc/systemd/system" / f"{UNIT}.d"
    drop_in.mkdir(parents=True)
    (drop_in / "override.conf").write_text("[Service]\nWatchdogSec=3\nRestartSec=0.5\n")
    machine.run(SHIPPED_EXECUTABLE, "install-service", "--config", CONFIG)
    return machine


@pytest.fixture
def watching(service: Machine) -> Iterator[Machine]:
    """The service runs, as it did before or anew, and an empty share is mounted."""
    mount(service)
    service.run("systemctl", "start", UNIT)
    yield service
    unmount(service)


def configure(machine: Machine, settings: str) -> None:
    (machine.root / CONFIG[1:]).write_text(settings)


def mount(machine: Machine, place: str = SHARE) -> None:
    """As a share whose every user may write."""
    machine.run("mount", "-t", "tmpfs", "-o", "mode=0777", "share", place)


def unmount(machine: Machine, place: str = SHARE) -> None:
    # Lazily: whoever still looks into it does not hold it.
    machine.run("umount", "--lazy", place)


def as_the_service(machine: Machine, *command: str) -> subprocess.CompletedProcess[str]:
    """A command that sees the disk as the daemon does, with its rights."""
    user, group = machine.run("id", "--user", "edge-ctc").strip(), machine.run("id", "--group", "edge-ctc").strip()
    rights = (f"--reuid={user}", f"--regid={group}", "--clear-groups")
    inside = ("nsenter", f"--target={daemon(machine)}", "--mount", "setpriv", *rights)
    return machine.try_run(*inside, *command)


def export(machine: Machine, run: str) -> None:
    machine.run("cp", "--recursive", f"{RUNS}/{run}", SHARE)


def is_called(machine: Machine, run: str) -> bool:
    # By a command: the path out here would not follow a mount that is made later.
    return machine.try_run("test", "-s", CALLS.format(share=SHARE, run=run)).returncode == 0


def status_text(machine: Machine) -> str:
    return machine.unit(UNIT, "StatusText")


def says_away(machine: Machine) -> bool:
    # As anyone asks; it ends with 2 while the share is away.
    said = json.loads(machine.try_run(SHIPPED_EXECUTABLE, "status", "--json").stdout)
    return bool(said["answers"] and said["status"]["state"] == "share-away")


def daemon(machine: Machine) -> int:
    return int(machine.unit(UNIT, "MainPID"))


def as_installed_here(tmp_path: Path) -> Path:
    """The unit, with a command that exists: systemd looks for it."""
    unit = tmp_path / UNIT
    unit.write_text((shipped_units() / UNIT).read_text("utf-8").replace(SHIPPED_EXECUTABLE, "/bin/true"))
    return unit


def test_systemd_finds_nothing_to_say_about_the_unit(tmp_path: Path) -> None:
    need("systemd-analyze")
    command = ["systemd-analyze", "verify", str(as_installed_here(tmp_path))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_the_unit_is_exposed_to_one_point_or_less(tmp_path: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(as_installed_here(tmp_path))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    overall = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert overall is not None
    assert float(overall[1]) <= 1.0


def test_the_example_units_of_the_share_are_good_ones(tmp_path: Path) -> None:
    for example in ("mnt-scanner.mount", "mnt-scanner-retry.service", "mnt-scanner-retry.timer"):
        shutil.copy(shipped_units() / example, tmp_path)
    command = ["systemd-analyze", "verify", *sorted(map(str, tmp_path.iterdir()))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_a_dry_run_shows_all_and_changes_nothing(machine: Machine) -> None:
    said = machine.run(SHIPPED_EXECUTABLE, "install-service", "--config", CONFIG, "--dry-run")
    assert f"ExecStart={SHIPPED_EXECUTABLE} watch --config {CONFIG}" in said
    assert "ReadWritePaths=-/mnt" in said
    assert "systemctl restart edge-ctc.service" in said
    assert machine.try_run("systemctl", "cat", UNIT).returncode != 0
    assert machine.try_run("id", "edge-ctc").returncode != 0


def test_the_installed_service_is_ready_and_says_how_it_is(watching: Machine) -> None:
    assert watching.unit(UNIT, "ActiveState") == "active"
    assert watching.run("systemctl", "is-enabled", UNIT).strip() == "enabled"
    assert watching.run("ps", "-o", "user=", "-p", daemon(watching)).strip() == "edge-ctc"
    until(lambda: " " in status_text(watching), 5, "a sentence of the daemon")


def test_a_run_on_the_share_is_called_and_others_can_read_the_calls(watching: Machine) -> None:
    export(watching, "P01")
    until(lambda: is_called(watching, "P01"), 20, "calls of P01")
    mode = watching.run("stat", "--format=%a %U", CALLS.format(share=SHARE, run="P01"))
    assert mode.split() == ["644", "edge-ctc"]


def test_nothing_of_it_listens_and_it_has_no_network(watching: Machine) -> None:
    inside = ("nsenter", f"--target={daemon(watching)}", "--net")
    assert watching.run(*inside, "ss", "--no-header", "--listening", "--tcp", "--udp", "--raw") == ""
    links = watching.run(*inside, "ip", "-oneline", "link").splitlines()
    assert [line.split(":")[1].strip() for line in links] == ["lo"]
    assert f"pid={daemon(watching)}," not in watching.run("ss", "--no-header", "--listening", "--unix", "--processes")


def test_a_share_that_is_mounted_later_is_seen_and_written_to_and_missed_when_it_goes(service: Machine) -> None:
    service.run("systemctl", "restart", UNIT)
    before = daemon(service)
    for run in ("P01", "P02"):
        mount(service)
        export(service, run)
        until(partial(is_called, service, run), 30, f"calls of {run}")
        unmount(service)
        until(partial(says_away, service), 15, "word that the share is away")
        assert as_the_service(service, "ls", "-A", SHARE).stdout == ""
    assert daemon(service) == before


def test_a_share_that_was_there_first_is_let_go_and_seen_again(watching: Machine) -> None:
    watching.run("systemctl", "restart", UNIT)
    export(watching, "P01")
    until(lambda: is_called(watching, "P01"), 20, "calls of P01")
    unmount(watching)
    assert as_the_service(watching, "ls", "-A", SHARE).stdout == ""
    mount(watching)
    export(watching, "P03")
    until(lambda: is_called(watching, "P03"), 30, "calls of P03")


def test_a_share_above_the_export_folder_is_let_go_and_seen_again_too(service: Machine) -> None:
    nas, exports = "/mnt/nas", "/mnt/nas/deparray/exports"
    service.run("mkdir", "--parents", nas)
    mount(service, nas)
    service.run("mkdir", "--parents", "--mode=0777", exports)
    service.run("systemctl", "restart", UNIT)
    assert as_the_service(service, "touch", f"{exports}/first").returncode == 0
    unmount(service, nas)
    assert as_the_service(service, "ls", "-A", nas).stdout == ""
    mount(service, nas)
    service.run("mkdir", "--parents", "--mode=0777", exports)
    assert as_the_service(service, "touch", f"{exports}/second").returncode == 0
    assert service.run("ls", "-A", exports).split() == ["second"]
    unmount(service, nas)


def test_the_rest_of_the_disk_is_closed_to_it(watching: Machine) -> None:
    for place in ("/etc/edge-ctc", "/opt/edge-ctc", "/var/lib", "/usr"):
        # As root: it is the mount that refuses, whoever asks.
        inside = ("nsenter", f"--target={daemon(watching)}", "--mount")
        done = watching.try_run(*inside, "touch", f"{place}/x")
        assert "Read-only file system" in done.stderr
    assert as_the_service(watching, "ls", "/root").returncode != 0


def test_a_hung_daemon_is_killed_and_the_restart_finishes_the_run(watching: Machine) -> None:
    hung = daemon(watching)
    restarts = int(watching.unit(UNIT, "NRestarts"))
    watching.run("kill", "-STOP", hung)
    export(watching, "P02")
    until(lambda: daemon(watching) not in (0, hung), 15, "another process")
    until(lambda: is_called(watching, "P02"), 20, "calls of P02")
    assert int(watching.unit(UNIT, "NRestarts")) > restarts
    assert "Watchdog timeout" in watching.journal(UNIT)


def test_a_wrong_setting_is_told_with_its_line_and_not_tried_again(service: Machine) -> None:
    configure(service, SETTINGS + "look_evry_s = 1\n")
    try:
        done = service.try_run("systemctl", "restart", UNIT)
        assert done.returncode != 0
        until(lambda: service.unit(UNIT, "ActiveState") == "failed", 10, "a failed unit")
        assert service.unit(UNIT, "ExecMainStatus") == "78"
        assert service.unit(UNIT, "NRestarts") == "0"
        said = service.try_run("systemctl", "status", "--no-pager", "--full", UNIT).stdout
        assert 'look_evry_s: unknown key (did you mean "look_every_s"?) (line 9)' in said
    finally:
        configure(service, SETTINGS)


def test_a_missing_gpu_is_tried_again_but_not_hotly(service: Machine) -> None:
    configure(service, SETTINGS.replace("onnxruntime", "tensorrt"))
    try:
        service.run("systemctl", "restart", "--no-block", UNIT)
        until(lambda: int(service.unit(UNIT, "NRestarts")) >= 1, 20, "another try")
        assert service.unit(UNIT, "ActiveState") == "activating"
        assert "Main process exited, code=exited, status=69/UNAVAILABLE" in service.journal(UNIT)
    finally:
        configure(service, SETTINGS)


def test_an_upgrade_is_the_same_command_again(watching: Machine) -> None:
    before = daemon(watching)
    watching.run(SHIPPED_EXECUTABLE, "install-service", "--config", CONFIG)
    assert daemon(watching) != before
    assert watching.unit(UNIT, "ActiveState") == "active"
    assert [name for name in os.listdir(watching.root / "etc/systemd/system") if "tmp" in name] == []


def test_it_stops_at_once_and_with_success(watching: Machine) -> None:
    watching.run("systemctl", "stop", UNIT, within_s=10)
    assert watching.unit(UNIT, "ActiveState") == "inactive"
    assert watching.unit(UNIT, "Result") == "success"
    assert watching.unit(UNIT, "ExecMainStatus") == "0"
