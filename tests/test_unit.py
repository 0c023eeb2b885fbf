"""What stands in the unit; what a real systemd makes of it: tests/system/test_systemd.py."""

from pathlib import Path

import pytest

from edge_ctc.cli import ExitCode
from edge_ctc.config import Settings

UNIT = (Path(__file__).parents[1] / "systemd" / "edge-ctc.service").read_text("utf-8")


def values(key: str) -> list[str]:
    lines = (line.partition("=") for line in UNIT.splitlines() if not line.startswith("#"))
    return [value for name, _, value in lines if name == key]


def test_it_starts_the_daemon_after_its_settings_were_checked() -> None:
    assert values("ExecStart") == ["/opt/edge-ctc/bin/edge-ctc watch --config /etc/edge-ctc/edge-ctc.toml"]
    assert values("ExecStartPre") == ["-/opt/edge-ctc/bin/edge-ctc config check --config /etc/edge-ctc/edge-ctc.toml"]
    assert values("Type") == ["notify"]
    assert values("NotifyAccess") == ["main"]


def test_it_is_started_again_but_for_what_no_restart_mends() -> None:
    assert values("Restart") == ["always"]
    assert values("StartLimitIntervalSec") == ["0"]
    (prevented,) = values("RestartPreventExitStatus")
    assert {int(code) for code in prevented.split()} == {ExitCode.USAGE, ExitCode.DATA, ExitCode.CONFIG}


def test_the_share_is_no_requirement() -> None:
    for key in ("Requires", "RequiresMountsFor", "BindsTo", "PartOf", "Requisite"):
        assert values(key) == []
    assert all("mount" not in value and "remote-fs" not in value for value in values("After") + values("Wants"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("User", "edge-ctc"),
        ("StateDirectory", "edge-ctc"),
        ("StateDirectoryMode", "0750"),
        ("UMask", "0022"),
        ("PrivateNetwork", "yes"),
        ("IPAddressDeny", "any"),
        ("RestrictAddressFamilies", "AF_UNIX"),
        ("DevicePolicy", "closed"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
    ],
)
def test_the_sandbox_stands(key: str, value: str) -> None:
    assert values(key) == [value]


def test_no_process_file_is_hidden_that_tells_of_the_driver() -> None:
    assert values("ProcSubset") == []
    assert values("PrivateDevices") == []


def test_a_batch_that_hangs_is_ended_by_the_daemon_itself_and_a_dead_daemon_sooner() -> None:
    (watchdog,) = values("WatchdogSec")
    assert int(watchdog) < Settings.model_fields["batch_within_s"].default
