"""What systemd is told while the daemon lives: ready, a sentence, and that it still turns (sd_notify(3))."""

import os
import socket
from collections.abc import Mapping

from edge_ctc.exports.listing import display_name

_MOST_BYTES = 2000
"""Of a sentence; systemd reads 4096 bytes of a datagram."""


class Heartbeat:
    """Talks to the service manager that started this process; without one, nobody is told anything.

    Nothing here raises and nothing waits: a manager that does not listen must not hold the loop.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Who listens, and how often a beat is wanted, stands in the environment."""
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._watchdog_s = _watchdog_s(environment) if self._address else None
        self._owes_ready = False

    @property
    def every_s(self) -> float | None:
        """Seconds between two beats: a third of what systemd waits for, so that one may be lost. None: none wanted."""
        return self._watchdog_s / 3 if self._watchdog_s else None

    def ready(self, sentence: str) -> None:
        """The engine answered and the loop turns."""
        self._owes_ready = True
        self.status(sentence)

    def status(self, sentence: str) -> None:
        """What `systemctl status` shows."""
        self._tell(f"STATUS={_one_line(sentence)}")

    def beat(self) -> None:
        """The loop turned, and nothing that it waits for is overdue."""
        self._tell("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Starting, or ending, takes longer: so many seconds from now on may pass before the next such word."""
        self._tell(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def stopping(self) -> None:
        """The daemon ends, as it was told."""
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        # The one word that is said once goes with every datagram until one is taken: the queue may be full just then.
        text = f"READY=1\n{message}" if self._owes_ready else message
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(text.encode(), self._address)
        except OSError:
            return
        self._owes_ready = False


def _address(named: str) -> str:
    """As the system takes it: `@` stands for the zero byte of an abstract name. Empty: nobody listens."""
    if named.startswith("@"):
        return f"\0{named[1:]}"
    return named if named.startswith("/") else ""


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Seconds after which systemd takes this process for hung; None where it does not, or means another process."""
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
        pid = int(environment.get("WATCHDOG_PID", str(os.getpid())))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and pid == os.getpid() else None


def _one_line(sentence: str) -> str:
    text = display_name(" ".join(sentence.split()))
    return text.encode()[:_MOST_BYTES].decode(errors="ignore")
