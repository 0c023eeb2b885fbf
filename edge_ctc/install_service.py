"""What systemd needs to run the daemon, written from its settings.

Three files: the unit with this installation's paths, the user it runs as, and a drop-in with what of the disk it may
write to. Nothing else is written, and nothing is copied.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_ctc import durable
from edge_ctc.config import BESIDE, CheckedSettings, Settings
from edge_ctc.errors import ConfigError, ResultsError, UnavailableError

UNIT = "edge-ctc.service"
SYSUSERS = "edge-ctc.sysusers.conf"
EXAMPLE = "edge-ctc.toml"
SHIPPED_EXECUTABLE = "/opt/edge-ctc/bin/edge-ctc"
SHIPPED_CONFIG = "/etc/edge-ctc/edge-ctc.toml"
"""As they stand in the unit that travels with the program."""

HIDDEN = ("/home", "/root", "/run", "/tmp", "/var/tmp")  # noqa: S108 - named because nothing of ours may lie there
"""What the unit's ProtectHome and PrivateTmp hide, and what is gone after a restart of the machine."""
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr")
_SYSTEM_RUNS = Path("/run/systemd/system")
_COMMAND_WITHIN_S = 600


@dataclass(frozen=True, slots=True)
class Installation:
    """The edge-ctc that a unit is to start.

    Attributes:
        executable: the command.
        parts: what it reads to start: the interpreter, the package, the shipped data.
    """

    executable: Path
    parts: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """One file, where it belongs, and what it holds."""

    path: Path
    content: str


@dataclass(frozen=True, slots=True)
class Order:
    """All that an installation of the service writes and runs.

    Attributes:
        files: to be written, in this order.
        commands: to be run after that, in this order.
        is_this_machine: whether the commands can be run here; files below another root are for another machine.
    """

    files: tuple[ServiceFile, ...]
    commands: tuple[tuple[str, ...], ...]
    is_this_machine: bool


def shipped_units() -> Path:
    """The folder of the unit and its company: package data in a wheel, `systemd/` in a checkout."""
    package = Path(__file__).parent
    packaged = package / "shipped" / "systemd"
    return packaged if packaged.is_dir() else package.parent / "systemd"


def this_installation() -> Installation:
    """The one that runs now.

    Raises:
        ConfigError: it has no command `edge-ctc`.
    """
    executable = Path(sysconfig.get_path("scripts")) / "edge-ctc"
    if not executable.is_file():
        raise ConfigError(f"{executable}: not there; install edge-ctc with pip, then run the edge-ctc that it brings")
    return Installation(executable, (Path(os.path.realpath(sys.executable)), Path(__file__).parent))


def order_for(config: Path, checked: CheckedSettings, installation: Installation, root: Path = Path("/")) -> Order:
    """What an installation of the service writes and runs; nothing is changed yet.

    Args:
        config: the settings' file, from the root.
        checked: what it says.
        installation: that the unit starts.
        root: of the machine that the files are for.

    Raises:
        ConfigError: the service could not see one of them, or would have to write where it must not.
    """
    config = Path(os.path.realpath(config))
    _refuse_hidden(config, checked, installation)
    unit = (shipped_units() / UNIT).read_text("utf-8")
    unit = unit.replace(SHIPPED_EXECUTABLE, _executable(installation.executable))
    unit = unit.replace(SHIPPED_CONFIG, _in_command(config))
    here = Path(os.path.abspath(root)) == Path("/")
    etc = root / "etc"
    elsewhere = () if here else (f"--root={root}",)
    return Order(
        files=(
            ServiceFile(etc / "sysusers.d" / "edge-ctc.conf", (shipped_units() / SYSUSERS).read_text("utf-8")),
            ServiceFile(
                etc / "systemd" / "system" / f"{UNIT}.d" / "10-config.conf", _drop_in(config, checked.settings)
            ),
            ServiceFile(etc / "systemd" / "system" / UNIT, unit),
        ),
        commands=(
            ("systemd-sysusers", *elsewhere, "edge-ctc.conf"),
            *((("systemctl", "daemon-reload"),) if here else ()),
            ("systemctl", *elsewhere, "enable", UNIT),
            # Not `enable --now`: after an upgrade the daemon already runs, and must be the new one from here on.
            *((("systemctl", "restart", UNIT),) if here else ()),
        ),
        is_this_machine=here,
    )


def carry_out(order: Order, say: Callable[[str], None]) -> None:
    """Write the files and run the commands, telling of each before it is done.

    Raises:
        ResultsError: the files cannot be written; without root for instance.
        UnavailableError: there is no systemd here, or it refused a command.
    """
    if order.is_this_machine:
        if os.geteuid() != 0:
            raise ResultsError(f"{order.files[-1].path}: only root writes there; run it with sudo, or with --dry-run")
        if not _SYSTEM_RUNS.is_dir():
            raise UnavailableError(f"{_SYSTEM_RUNS}: not there, systemd does not run here; name an image with --root")
    for file in order.files:
        say(f"writing {file.path}")
        try:
            file.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultsError(f"{file.path.parent}: cannot be made ({error.strerror}); look at the path") from error
        durable.mend(file.path)
        durable.write_bytes(file.path, file.content.encode())
    for command in order.commands:
        if order.is_this_machine:
            say(f"running {shlex.join(command)}")
            _run(command)
        else:
            say(f"to be run: {shlex.join(command)}")


def writable_paths(settings: Settings) -> tuple[str, ...]:
    """What the service may write to apart from its state folder, as ReadWritePaths takes it.

    Not the export folder itself but what it lies in at the top: a path below a share's mount point would hold the share
    fast in the service's view, so that its unmounting, and whatever is mounted next, would not be seen (tests/system).
    What the service may write there is left to the rights of its user.

    Raises:
        ConfigError: it lies among the system's own files.
    """
    results = ("export_dir", settings.export_dir) if settings.results == BESIDE else ("results", settings.results)
    paths = [_top(*results)]
    if settings.engines_dir is not None:
        _top("engines_dir", settings.engines_dir)
        paths.append(os.path.normpath(settings.engines_dir))
    return tuple(dict.fromkeys(paths))


def _top(key: str, folder: str) -> str:
    parts = Path(os.path.normpath(folder)).parts
    top = "/".join(("", *parts[1 : 3 if parts[1:2] == ("var",) else 2]))
    if top in ("", "/var", *_SYSTEM):
        raise ConfigError(f"{key}: {folder} belongs to the system; {_MENDS[key]}")
    return top


def _drop_in(config: Path, settings: Settings) -> str:
    said = "\n".join(f"#   {key} = {value}" for key in _FOLDERS if (value := getattr(settings, key)) is not None)
    # The dash: what is not there yet must not keep the daemon from saying so.
    paths = "\n".join(f"ReadWritePaths={_quoted(f'-{path}')}" for path in writable_paths(settings))
    return (
        f"# Written by `edge-ctc install-service` from {str(config)!r}, which says:\n{said}\n"
        "# Run it again after a change of one of them. The folder at the top is opened, so that a share which is\n"
        "# mounted later, or anew, is seen; the rights on the share say what the service may write there.\n"
        f"[Service]\n{paths}\n"
    )


def _refuse_hidden(config: Path, checked: CheckedSettings, installation: Installation) -> None:
    settings = checked.settings
    parts = [("this edge-ctc", path) for path in (installation.executable, *installation.parts)]
    named = [
        ("config", config),
        ("checkpoint", checked.checkpoint),
        # What is no path from / is a name: of a built-in profile, or "beside".
        *((key, Path(value)) for key in ("profile", *_FOLDERS) if (value := getattr(settings, key) or "")[:1] == "/"),
    ]
    for what, path in (*parts, *named):
        # A folder that may be a share's is taken by its name alone: whoever touches a dead share hangs.
        ways = (path,) if what in _FOLDERS else (path, Path(os.path.realpath(path)))
        if hidden := next((folder for folder in HIDDEN for way in ways if way.is_relative_to(folder)), None):
            raise ConfigError(f"{what}: {path} lies in {hidden}, which the service does not see; {_MENDS[what]}")


_FOLDERS = ("export_dir", "results", "engines_dir")
_MENDS = {
    "this edge-ctc": "install it with the system's Python into /opt/edge-ctc: `python3 -m venv /opt/edge-ctc`, then "
    "pip as docs/install.md says",
    "config": f"put it into {Path(SHIPPED_CONFIG).parent}",
    "checkpoint": "copy it below /opt or /srv",
    "profile": f"copy it into {Path(SHIPPED_CONFIG).parent}",
    "export_dir": "mount or export below /mnt or /srv",
    "results": "name a folder below /mnt or /srv",
    "engines_dir": "leave it out, then engines lie in /var/lib/edge-ctc",
}


def _executable(path: Path) -> str:
    """The first word of a command: systemd expands no variable in it, and takes no quotes or backslashes (252)."""
    if special := set(str(path)) & set("\"'\\"):
        raise ConfigError(
            f"{path}: holds {' '.join(sorted(special))}, which systemd refuses; {_MENDS['this edge-ctc']}"
        )
    return _quoted(str(path))


def _in_command(path: Path) -> str:
    return _quoted(str(path)).replace("$", "$$")


def _quoted(text: str) -> str:
    """As systemd.syntax(7) reads it back: one word, whatever is in it."""
    if not text.isprintable():
        raise ConfigError(f"{text!r}: holds characters that no unit can name; rename it")
    plain = text.replace("%", "%%")
    if all(letter.isalnum() or letter in "/._+@:-%" for letter in plain):
        return plain
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _run(command: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(command, check=False, timeout=_COMMAND_WITHIN_S)  # noqa: S603 - fixed words of ours
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{shlex.join(command)}: {error}; the files are written, run it by hand") from error
    if done.returncode != 0:
        raise UnavailableError(
            f"{shlex.join(command)}: ended with {done.returncode}; the files are written; "
            "`systemctl status edge-ctc` and `journalctl -u edge-ctc` say why"
        )
