"""The tools that real faults need. `python -m tests.system.tools` installs with apt those that are missing, as root."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "chromium": "chromium",
    "strace": "strace",
    "fusermount3": "fuse3",
    "mkfs.ext4": "e2fsprogs",
    "losetup": "mount",
    "faketime": "faketime",
    "setpriv": "util-linux",
    "systemd-nspawn": "systemd-container",
    "systemd-analyze": "systemd",
    "dbus-daemon": "dbus",
    "ss": "iproute2",
}
"""By the tool's name, the Debian package that brings it."""


def missing(*tools: str) -> str:
    """What is missing of root, `tools` and the devices behind them, in a sentence; empty where nothing is."""
    if os.geteuid() != 0:
        return "real faults need root: run `sudo make test-system`"
    lacking = [tool for tool in tools if shutil.which(tool) is None]
    if lacking:
        return f"{', '.join(lacking)}: not installed; `python -m tests.system.tools` installs what is missing"
    if "fusermount3" in tools and not Path("/dev/fuse").exists():
        return "/dev/fuse: not there; load the module fuse, or give the container its device"
    if "losetup" in tools and not Path("/dev/loop-control").exists():
        return "/dev/loop-control: not there; load the module loop, or give the container its device"
    return ""


def main() -> int:
    """Install what is missing."""
    packages = sorted({package for tool, package in PACKAGES.items() if shutil.which(tool) is None})
    if not packages:
        return 0
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    return subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
