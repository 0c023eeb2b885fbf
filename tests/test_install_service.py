import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edge_ctc import install_service
from edge_ctc.config import CheckedSettings, Settings
from edge_ctc.errors import ConfigError, ResultsError, UnavailableError
from edge_ctc.exports.profile import load_profile
from edge_ctc.install_service import Installation, Order, ServiceFile, carry_out, order_for, writable_paths
from tests.conftest import EdgeCtc
from tests.rights import without_rights

CONFIG = Path("/etc/edge-ctc/edge-ctc.toml")
INSTALLATION = Installation(Path("/opt/edge-ctc/bin/edge-ctc"), (Path("/usr/bin/python3"), Path("/opt/edge-ctc/lib")))
ANALYZE = shutil.which("systemd-analyze") or ""


def settings(**changed: str) -> Settings:
    return Settings.model_validate(
        {"export_dir": "/mnt/scanner", "profile": "flat", "checkpoint": "/srv/ours", "runtime": "tensorrt", **changed}
    )


def checked(**changed: str) -> CheckedSettings:
    said = settings(**changed)
    return CheckedSettings(said, load_profile("flat"), Path(said.checkpoint), "ours")


def written(order: Order, name: str) -> str:
    (content,) = (file.content for file in order.files if file.path.name == name)
    return content


def test_three_files_are_written_and_the_service_is_started() -> None:
    order = order_for(CONFIG, checked(), INSTALLATION)
    assert [str(file.path) for file in order.files] == [
        "/etc/sysusers.d/edge-ctc.conf",
        "/etc/systemd/system/edge-ctc.service.d/10-config.conf",
        "/etc/systemd/system/edge-ctc.service",
    ]
    assert order.commands == (
        ("systemd-sysusers", "edge-ctc.conf"),
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable", "edge-ctc.service"),
        ("systemctl", "restart", "edge-ctc.service"),
    )


def test_the_unit_starts_this_installation_with_this_config() -> None:
    installation = replace(INSTALLATION, executable=Path("/srv/edge 2/bin/edge-ctc"))
    unit = written(order_for(Path("/etc/our $lab/100%.toml"), checked(), installation), "edge-ctc.service")
    told = '"/srv/edge 2/bin/edge-ctc" watch --config "/etc/our $$lab/100%%.toml"\n'
    assert f"ExecStart={told}" in unit
    assert f"ExecStartPre=-{told}".replace("watch", "config check") in unit
    assert "/opt/edge-ctc" not in unit


def test_a_dollar_in_the_program_stands_as_it_is_since_systemd_expands_none_there() -> None:
    installation = replace(INSTALLATION, executable=Path("/srv/a$b 100%/bin/edge-ctc"))
    unit = written(order_for(CONFIG, checked(), installation), "edge-ctc.service")
    assert f'ExecStart="/srv/a$b 100%%/bin/edge-ctc" watch --config {CONFIG}\n' in unit


@pytest.mark.parametrize("special", ['"', "'", "\\"])
def test_a_program_that_systemd_would_refuse_is_refused_with_a_better_place(special: str) -> None:
    installation = replace(INSTALLATION, executable=Path(f"/srv/a{special}b/bin/edge-ctc"))
    with pytest.raises(ConfigError, match=r"which systemd refuses; install it .* into /opt/edge-ctc"):
        order_for(CONFIG, checked(), installation)


@pytest.mark.skipif(not ANALYZE, reason="systemd is not installed")
def test_systemd_takes_a_program_of_any_other_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "a$b 100% ü" / "edge-ctc"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "probe.service"
    monkeypatch.setattr(install_service, "HIDDEN", ())
    content = written(order_for(CONFIG, checked(), replace(INSTALLATION, executable=program)), "edge-ctc.service")
    start = next(line for line in content.splitlines() if line.startswith("ExecStart="))
    unit.write_text(f"[Service]\n{start}\n")
    done = subprocess.run([ANALYZE, "verify", unit], capture_output=True, text=True, check=False)
    assert "probe.service" not in done.stderr, done.stderr


def test_a_name_that_no_unit_can_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match="no unit can name"):
        order_for(Path("/etc/a\nExecStart=b.toml"), checked(), INSTALLATION)


@pytest.mark.parametrize(
    ("changed", "paths"),
    [
        ({}, ("/mnt",)),
        ({"export_dir": "/mnt/nas/deparray/exports"}, ("/mnt",)),
        ({"export_dir": "/data"}, ("/data",)),
        ({"export_dir": "/var/spool/exports"}, ("/var/spool",)),
        ({"results": "/srv/calls"}, ("/srv",)),
        ({"engines_dir": "/var/engines/here"}, ("/mnt", "/var/engines/here")),
    ],
)
def test_the_service_may_write_only_where_results_and_engines_belong(
    changed: dict[str, str], paths: tuple[str, ...]
) -> None:
    assert writable_paths(settings(**changed)) == paths
    drop_in = written(order_for(CONFIG, checked(**changed), INSTALLATION), "10-config.conf")
    assert [line for line in drop_in.splitlines() if not line.startswith("#")] == [
        "[Service]",
        *(f"ReadWritePaths=-{path}" for path in paths),
    ]


@pytest.mark.parametrize("folder", ["/", "/etc", "/usr/share/exports", "/var", "/boot/x"])
def test_an_export_folder_among_the_systems_own_is_refused(folder: str) -> None:
    with pytest.raises(ConfigError, match=rf"export_dir: {folder} belongs to the system; mount or export below /mnt"):
        writable_paths(settings(export_dir=folder))


@pytest.mark.parametrize("folder", ["/", "/usr", "/etc/engines", "/var"])
def test_engines_among_the_systems_own_files_are_refused(folder: str) -> None:
    with pytest.raises(ConfigError, match=rf"engines_dir: {folder} belongs to the system; leave it out"):
        writable_paths(settings(engines_dir=folder))


@pytest.mark.parametrize("key", ["export_dir", "results", "engines_dir"])
def test_no_setting_writes_a_line_of_its_own_into_the_drop_in(key: str) -> None:
    with pytest.raises(ValueError, match="in printable characters"):
        settings(**{key: "/mnt/a\n[Service]\nUser=root"})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"checkpoint": "//root/ours"}, "checkpoint: //root/ours lies in /root"),
        ({"checkpoint": "/srv/../home/ours"}, "checkpoint: /srv/../home/ours lies in /home"),
        ({"profile": "/etc/../home/ours.toml"}, "profile: /etc/../home/ours.toml lies in /home"),
        ({"export_dir": "/home/lab/exports"}, "export_dir: /home/lab/exports lies in /home"),
        ({"checkpoint": "/root/ours"}, "checkpoint: /root/ours lies in /root"),
        ({"profile": "/tmp/ours.toml"}, "profile: /tmp/ours.toml lies in /tmp"),  # noqa: S108
        ({"results": "/var/tmp/calls"}, "results: /var/tmp/calls lies in /var/tmp"),  # noqa: S108
        ({"engines_dir": "/run/user/1000/engines"}, "engines_dir: /run/user/1000/engines lies in /run"),
    ],
)
def test_what_the_sandbox_hides_is_refused_with_a_better_place(changed: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=f"{told}, which the service does not see; ."):
        order_for(CONFIG, checked(**changed), INSTALLATION)


def test_an_installation_or_config_that_the_sandbox_hides_is_refused_with_a_better_place() -> None:
    for installation in (
        replace(INSTALLATION, executable=Path("/home/lab/edge-ctc/bin/edge-ctc")),
        replace(INSTALLATION, parts=(Path("/root/.pyenv/bin/python3"),)),
    ):
        with pytest.raises(ConfigError, match=r"this edge-ctc: .* does not see; .*python3 -m venv /opt/edge-ctc"):
            order_for(CONFIG, checked(), installation)
    with pytest.raises(
        ConfigError, match=r"config: /home/lab/edge-ctc\.toml lies in /home, .* put it into /etc/edge-ctc"
    ):
        order_for(Path("/home/lab/edge-ctc.toml"), checked(), INSTALLATION)


def test_what_leads_into_a_hidden_folder_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "hidden"
    monkeypatch.setattr(install_service, "HIDDEN", (str(hidden),))
    (tmp_path / "seen").symlink_to(hidden)
    with pytest.raises(
        ConfigError, match=r"checkpoint: .*/seen/ours lies in .*/hidden, which the service does not see"
    ):
        order_for(CONFIG, checked(checkpoint=str(tmp_path / "seen" / "ours")), INSTALLATION)
    for config in (tmp_path / "seen" / "edge-ctc.toml", Path(f"{tmp_path}/seen/../hidden/edge-ctc.toml")):
        with pytest.raises(ConfigError, match=r"config: .* lies in .*/hidden"):
            order_for(config, checked(), INSTALLATION)
    monkeypatch.setattr(install_service, "HIDDEN", ("/home",))
    with pytest.raises(ConfigError, match="lies in /home"):
        order_for(Path("/etc/../home/lab/edge-ctc.toml"), checked(), INSTALLATION)


@pytest.fixture
def nothing_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Tests run where the sandbox hides everything; the settings' file, beside which a root may be made."""
    monkeypatch.setattr(install_service, "HIDDEN", ())
    config = tmp_path / "edge-ctc.toml"
    config.write_text(
        'export_dir = "/mnt/scanner"\nprofile = "flat"\ncheckpoint = "reference"\nruntime = "onnxruntime"\n'
    )
    return config


def test_a_dry_run_shows_every_file_and_command_and_writes_nothing(
    nothing_hidden: Path, edge_ctc: EdgeCtc, tmp_path: Path
) -> None:
    done = edge_ctc("install-service", "--config", nothing_hidden, "--dry-run")
    assert done.code == 0
    for part in ("would write /etc/systemd/system/edge-ctc.service:", "    Type=notify", "would run: systemctl enable"):
        assert part in done.out
    assert f"watch --config {nothing_hidden}" in done.out
    assert os.listdir(tmp_path) == ["edge-ctc.toml"]


def test_below_another_root_files_are_written_and_commands_are_told(
    nothing_hidden: Path, edge_ctc: EdgeCtc, tmp_path: Path
) -> None:
    root = tmp_path / "image"
    for _ in range(2):
        done = edge_ctc("install-service", "--config", nothing_hidden, "--root", root)
        assert done.code == 0, done.err
        found = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        assert found == [
            "etc/systemd/system/edge-ctc.service",
            "etc/systemd/system/edge-ctc.service.d/10-config.conf",
            "etc/sysusers.d/edge-ctc.conf",
        ]
    assert f"to be run: systemctl --root={root} enable edge-ctc.service" in done.out


def test_a_wrong_config_is_78_and_nothing_is_written(nothing_hidden: Path, edge_ctc: EdgeCtc, tmp_path: Path) -> None:
    nothing_hidden.write_text(nothing_hidden.read_text() + "look_evry_s = 1\n")
    done = edge_ctc("install-service", "--config", nothing_hidden, "--root", tmp_path / "image")
    assert done.code == 78
    assert "look_every_s" in done.err
    assert not (tmp_path / "image").exists()


def test_whoever_is_not_root_is_told_so_before_anything_is_written() -> None:
    order = Order((ServiceFile(Path("/etc/systemd/system/x.service"), ""),), (), is_this_machine=True)
    with without_rights(), pytest.raises(ResultsError, match="only root writes there; run it with sudo, or with --dry"):
        carry_out(order, print)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("")
    order = Order((ServiceFile(tmp_path / "etc" / "x" / "a", ""),), (), is_this_machine=False)
    with pytest.raises(ResultsError, match="cannot be made"):
        carry_out(order, lambda _: None)


@pytest.mark.parametrize(("command", "told"), [("false", "ended with 1"), ("no-such-command", "No such file")])
def test_a_command_that_fails_is_told_with_what_stands_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, told: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(install_service, "_SYSTEM_RUNS", tmp_path)
    order = Order((ServiceFile(tmp_path / "a", "b"),), ((command,),), is_this_machine=True)
    with pytest.raises(UnavailableError, match=f"{command}: .*{told}.*the files are written"):
        carry_out(order, lambda _: None)
    assert (tmp_path / "a").read_text() == "b"


def test_without_systemd_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(install_service, "_SYSTEM_RUNS", tmp_path / "none")
    order = Order((ServiceFile(tmp_path / "a", "b"),), (), is_this_machine=True)
    with pytest.raises(UnavailableError, match="systemd does not run here"):
        carry_out(order, lambda _: None)
    assert os.listdir(tmp_path) == []


def test_a_built_in_profile_is_no_path_wherever_the_command_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install_service, "HIDDEN", (str(tmp_path),))
    monkeypatch.chdir(tmp_path)
    assert order_for(CONFIG, checked(), INSTALLATION).files
