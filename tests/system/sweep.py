"""Every single state-changing system call of `edge-ctc classify-run`, killed or failed by strace, one after another."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.system.processes import AT_ONCE, How, Process, forked, said_of, wait_stopped
from tests.system.promises import broken, litter, mixed
from tests.system.scans import Archive, Scan

Fault = Literal["SIGKILL", "ENOSPC", "EIO", "EACCES"]
FAULTS: tuple[Fault, ...] = ("SIGKILL", "ENOSPC", "EIO", "EACCES")
Story = Literal["first", "again"]
"""A run that was never called; or one with complete calls, in which a file changed since."""

_CALLS = (
    "openat,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,"
    "ftruncate,flock,link,linkat,symlink,chmod,fchmod,fchmodat,utimensat,copy_file_range,sendfile"
)
_LINE = re.compile(r"(?P<call>[a-z0-9_]+)\((?P<rest>.*)")
_DRAWN = re.compile(r"(?<=tmp-)[0-9a-f]{8}|(?<=\.)[0-9]{8}T[0-9]{6}\.[0-9]+Z")
"""What is another in each trial: the temporary name, the time of the former calls."""


@dataclass(frozen=True)
class Point:
    """One system call that changes the results' folder.

    Attributes:
        call: its name.
        nth: of all such calls of the main thread since its start.
        what: on which file, without what is drawn at random.
    """

    call: str
    nth: int
    what: str


class Bench:
    """Calls one small run again and again, each time in a folder as new."""

    def __init__(self, folder: Path, archive: Archive, story: Story) -> None:
        self.exports = folder / "exports"
        self.story: Story = story
        self._kept = folder / "kept"
        self._log = folder / "log"
        self._trace = folder / "trace"
        self._archive = archive
        self._scan: Scan = archive.scan(0)
        self._kept.mkdir(parents=True)
        run = self._scan.copy(self._kept / "run")
        if story == "again":
            assert self._classify(run).wait(60) == 0, self._log.read_text()
            os.utime(run / "Images" / "0003_PE.tif", (1_700_000_000, 1_700_000_000))

    @property
    def run(self) -> Path:
        return self.exports / "run"

    def points(self) -> list[Point]:
        """Every call that changes the folder of the results, in their order."""
        self._renew()
        code, lines = self._traced(f"trace={_CALLS}")
        assert code == 0, self._log.read_text()
        counted: Counter[str] = Counter()
        found = []
        for line in lines:
            if match := _LINE.match(line):
                counted[match["call"]] += 1
                if self._changes(match["call"], match["rest"]):
                    found.append(Point(match["call"], counted[match["call"]], self._what(line)))
        return found

    def faults(self, point: Point, fault: Fault) -> list[str]:
        """What does not hold after `fault` at `point`, and after one clean restart. Asserts that it was hit."""
        self._renew()
        how = "signal=SIGKILL" if fault == "SIGKILL" else f"error={fault}"
        code, lines = self._traced(f"trace={point.call}", f"inject={point.call}:{how}:when={point.nth}")
        self._assert_hit(point, fault, code, lines)
        found = mixed(self.run)
        if code in (0, 2):
            found += [f"ended with {code}, but {one}" for one in self._broken()]
        restart = self._classify(self.run).wait(60)
        if restart != 0:
            found.append(f"the restart ended with {restart}: {self._log.read_text()[-500:]}")
        found += self._broken() + litter(self.exports)
        return [f"{self.story}, {fault} at {point.call} {point.nth} ({point.what}): {one}" for one in found]

    def _broken(self) -> list[str]:
        superseded = 1 if self.story == "again" else 0
        return broken(self.run, self._scan.expected, superseded=superseded)

    def _renew(self) -> None:
        shutil.rmtree(self.exports, ignore_errors=True)
        shutil.copytree(self._kept, self.exports)

    def _classify(self, run: Path, how: How = AT_ONCE) -> Process:
        command = [
            "classify-run",
            run,
            "--profile",
            "flat",
            "--checkpoint",
            self._archive.checkpoint,
            "--engine",
            "cpu",
        ]
        return forked(command, self._log, how)

    def _traced(self, *expressions: str) -> tuple[int, list[str]]:
        process = self._classify(self.run, How(stopped=True))
        wait_stopped(process.pid)
        # Without -f: only the main thread, which alone writes. The calls are counted by thread.
        command = ["strace", "-qq", "-y", "-s", "300", "-o", str(self._trace), "-p", str(process.pid)]
        tracer = subprocess.Popen([*command, *(part for one in expressions for part in ("-e", one))])
        _wait_traced(process.pid, tracer)
        os.kill(process.pid, signal.SIGCONT)
        code = process.wait(60)
        tracer.wait(60)
        assert code is not None, f"hangs: {self._trace.read_text()[-500:]}"
        return code, self._trace.read_text().splitlines()

    def _assert_hit(self, point: Point, fault: Fault, code: int, lines: list[str]) -> None:
        calls = [line for line in lines if _LINE.match(line)]
        assert len(calls) >= point.nth, f"{point}: the call never came"
        hit = calls[point.nth - 1]
        assert self._what(hit) == point.what, f"{point}: another call was hit: {hit}"
        if fault == "SIGKILL":
            assert code == -9, f"{point}: not killed, ended with {code}"
        else:
            assert f"{fault} " in hit, f"{point}: another error: {hit}"
            assert "(INJECTED)" in hit, f"{point}: not hit: {hit}"

    def _what(self, line: str) -> str:
        names = re.findall(rf"{re.escape(str(self.exports))}([^\">]*)", line)
        return " ".join(dict.fromkeys(_DRAWN.sub("…", name) or "/" for name in names))

    def _changes(self, call: str, rest: str) -> bool:
        """Whether it changes the folder of the results, and does not only name a file in there."""
        if call == "openat" and not any(flag in rest for flag in ("O_CREAT", "O_WRONLY", "O_RDWR", "O_TRUNC")):
            return False
        on_handle = call in ("write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "flock", "fchmod")
        where = rest.split(">", 1)[0] if on_handle else rest
        return str(self.exports) in where


def _wait_traced(pid: int, tracer: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while said_of(pid, "TracerPid") == "0":
        assert tracer.poll() is None, "strace cannot attach: it needs root and ptrace"
        assert time.monotonic() < deadline, "strace does not attach"
        time.sleep(0.002)
