"""A Linux kernel that runs as a process, with this machine's own root: real SMB and NFS, server and client, in seconds.

Nothing of it touches the machine: the root is read-only inside, the network is the kernel's own loopback.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).parents[2]
_TOOLS = {
    "apt-get": "apt",
    "dpkg": "dpkg",
    "depmod": "kmod",
    "smbd": "samba",
    "mount.cifs": "cifs-utils",
    "rpc.nfsd": "nfs-kernel-server",
    "ip": "iproute2",
}
_DOWNLOAD, _UNPACK, _INDEX = ("apt-get", "download"), ("dpkg", "-x"), ("depmod", "-b")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
MARK = "figure: "
"""What the trial wants to say to the outside follows it, as JSON."""


def missing_tools() -> list[str]:
    """Packages that must be installed first."""
    return sorted(package for tool, package in _TOOLS.items() if shutil.which(tool, path=_PATH) is None)


def fetch_kernel(folder: Path) -> Path:
    """Unpack Debian's user-mode-linux into `folder`, where it is not yet; nothing is installed.

    Returns:
        The folder with `usr/bin/linux.uml` and the modules.
    """
    unpacked = folder / "unpacked"
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        subprocess.run([*_DOWNLOAD, "user-mode-linux"], cwd=folder, check=True, capture_output=True)
        (package,) = folder.glob("user-mode-linux_*.deb")
        subprocess.run([*_UNPACK, package, unpacked], check=True)
        (modules,) = (unpacked / "usr/lib/uml/modules").iterdir()
        (unpacked / "lib").mkdir(exist_ok=True)
        (unpacked / "lib/modules").mkdir(exist_ok=True)
        shutil.copytree(modules, unpacked / "lib/modules" / modules.name, symlinks=True)
        subprocess.run([*_INDEX, unpacked, modules.name], check=True, env={"PATH": _PATH})
        (folder / "whole").touch()
    return unpacked


def run_trial(kernel: Path, kind: str, trial: str, inputs: Path, within_s: float) -> Iterator[dict[str, Any]]:
    """Run a trial of `uml_trial` inside; what it says, as it says it.

    Args:
        kernel: what `fetch_kernel` gave.
        kind: "cifs" or "nfs".
        trial: its name.
        inputs: a folder that the trial reads.
        within_s: then the kernel is killed.

    Raises:
        RuntimeError: the trial did not end well; the message ends with what the kernel said last.
    """
    told = {
        "MODULES": str(kernel),
        "PYTHON": sys.executable,
        "CHECKOUT": str(_CHECKOUT),
        "INPUT": str(inputs),
        "KIND": kind,
        "TRIAL": trial,
    }
    command = [
        str(kernel / "usr/bin/linux.uml"),
        *("mem=1536M", "rootfstype=hostfs", "rootflags=/", "ro", f"init={Path(__file__).with_name('uml_init.sh')}"),
        *("con=null", "con0=null,fd:1", "ssl=null", "quiet"),
        *(f"{name}={value}" for name, value in told.items()),
    ]
    said: list[str] = []
    environment = os.environ | {"TMPDIR": "/dev/shm"}  # noqa: S108 - the kernel keeps its memory there
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        # The kernel is several processes: all of them end, or the reading of what they say would not.
        alarm = threading.Timer(within_s, os.killpg, (process.pid, signal.SIGKILL))
        alarm.start()
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.append(line.rstrip())
                if line.startswith(MARK):
                    yield json.loads(line.removeprefix(MARK))
        finally:
            alarm.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if "ended: 0" not in said:
        raise RuntimeError(f"{kind}, {trial}: the trial did not end well\n" + "\n".join(said[-60:]))
