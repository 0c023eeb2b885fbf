"""A real systemd, booted in a second from this machine's own root: what is written in it is gone with it."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
INSTALLED = Path("/opt/edge-ctc")
"""Where the machine has edge-ctc: outside all that the unit's sandbox hides."""

_PYTHON = Path("/opt/edge-ctc-python")
_TARGET = """\
[Unit]
Description=As little of a machine as the tests need
Requires=sysinit.target dbus.socket
After=sysinit.target
AllowIsolate=yes
"""


@dataclass(frozen=True)
class Machine:
    """A booted systemd, run from outside.

    Attributes:
        first: process id, out here, of its process 1.
    """

    first: int

    @property
    def root(self) -> Path:
        """Its files, mounts included, as seen from out here."""
        return Path(f"/proc/{self.first}/root")

    def try_run(self, *command: object, within_s: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command in it, whatever comes of it."""
        inside = ["nsenter", f"--target={self.first}", "--all", "--", *map(str, command)]
        return subprocess.run(inside, check=False, capture_output=True, text=True, timeout=within_s)

    def run(self, *command: object, within_s: float = 30) -> str:
        """Run a command in it that must succeed; what it printed."""
        done = self.try_run(*command, within_s=within_s)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def unit(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self, unit: str) -> str:
        """All that was said of and by a unit, without time and host."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")


def until(holds: Callable[[], bool], within_s: float, what: str) -> float:
    """Wait until something holds; the seconds that it took."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < within_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - start


def need(*tools: str) -> None:
    """Fail where a tool is missing: a test that is skipped proves nothing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    assert not missing, f"{missing} missing: apt-get install systemd systemd-container dbus iproute2 util-linux"
    assert os.geteuid() == 0, "these tests need root"


def install_into(folder: Path) -> Mapping[Path, Path]:
    """An installation of this checkout in `folder`, to be bound to `INSTALLED`.

    Returns:
        What to bind where: the checkout, the environment's packages and its Python may lie where a sandbox hides them.
    """
    here = sys.version_info
    packages = folder / "lib" / f"python{here.major}.{here.minor}" / "site-packages"
    for made in (folder / "bin", packages, folder / "checkout", folder / "packages"):
        made.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = {_PYTHON}/bin\ninclude-system-site-packages = false\n")
    (packages / "edge_ctc.pth").write_text(f"{INSTALLED}/checkout\n{INSTALLED}/packages\n")
    (folder / "bin" / "python").symlink_to(_PYTHON / "bin" / f"python{here.major}.{here.minor}")
    command = folder / "bin" / "edge-ctc"
    command.write_text(f"#!{INSTALLED}/bin/python\nfrom edge_ctc.cli import main\n\nmain()\n")
    command.chmod(0o755)
    site_packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    return {
        INSTALLED: folder,
        INSTALLED / "checkout": CHECKOUT,
        INSTALLED / "packages": site_packages,
        _PYTHON: Path(sys.base_prefix),
    }


@contextlib.contextmanager
def booted(binds: Mapping[Path, Path]) -> Iterator[Machine]:
    """Boot it, with folders of this machine bound read-only; it is switched off in the end."""
    need("systemd-nspawn", "unshare", "nsenter", "mount")
    with tempfile.TemporaryDirectory(prefix="edge-ctc-machine-") as made:
        folder = Path(made)
        (folder / "root").mkdir()
        (folder / "small.target").write_text(_TARGET)
        bound = [f"--bind-ro={there}:{here}" for here, there in binds.items()]
        nspawn = [
            *("systemd-nspawn", "--quiet", f"--directory={folder / 'root'}", "--volatile=overlay", "--private-network"),
            *("--register=no", "--keep-unit", f"--machine=edge-ctc-{os.getpid()}", "--console=pipe"),
            *(f"--bind-ro={folder / 'small.target'}:/etc/systemd/system/small.target", *bound),
            *("--boot", "systemd.unit=small.target"),
        ]
        # A mount namespace of its own: the bind of the root goes with it, whatever happens.
        script = 'mount --bind / "$0" && exec "$@"'
        command = ["unshare", "--mount", "--propagation=private", "sh", "-c", script, str(folder / "root"), *nspawn]
        with (folder / "console").open("w") as console:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            yield _wait_for(process, folder / "console")
        finally:
            _switch_off(process)


def _wait_for(process: subprocess.Popen[bytes], console: Path) -> Machine:
    found: list[Machine] = []

    def is_up() -> bool:
        assert process.poll() is None, f"systemd-nspawn ended with {process.returncode}: {console.read_text()}"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if not children:
            return False
        machine = Machine(int(children[0]))
        if machine.try_run("systemctl", "is-active", "small.target").stdout.strip() != "active":
            return False
        found.append(machine)
        return True

    until(is_up, 30, "a booted systemd")
    return found[0]


def _switch_off(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
