"""Whether the clock goes right: its time stands in every call."""

import ctypes
from datetime import UTC, datetime

from edge_ctc.doctor.findings import Finding

SKEW_S = 120.0
"""Clocks of a share's server may be off by so much."""
FAR_S = 86_400.0
"""No time zone taken for another is off by more: such a clock has lost its date."""

_UNSYNCHRONISED_US = 16_000_000
"""The kernel's error never grows beyond; a clock that nothing has set for hours stands there."""
_SET = "`timedatectl set-ntp true`; without internet, name the lab's time server in its settings or chrony's"


class _Timex(ctypes.Structure):
    """The first fields of struct timex, adjtimex(2), and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),
    )


def largest_error_us() -> int | None:
    """By how much the kernel reckons that the clock may be off, in microseconds; None where it does not tell.

    As systemd does, and where there is no systemd too. The flag STA_UNSYNC tells less: chrony sets it even on a
    clock that it holds, to keep the kernel from the hardware clock.
    """
    timex = _Timex(modes=0)
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else int(timex.maxerror)


def clock_finding(error_us: int | None, now_s: float, newest_s: dict[str, float]) -> Finding:
    """Whether the clock is held by a time server, and not behind what is on the disks.

    Args:
        error_us: as `largest_error_us`.
        now_s: Unix time.
        newest_s: the newest time in each folder, by what the folder is.
    """
    now = f"{datetime.fromtimestamp(now_s, UTC):%Y-%m-%d %H:%M} UTC"
    what, newest = max(newest_s.items(), key=lambda item: item[1], default=("", now_s))
    if newest > now_s + SKEW_S:
        ahead = f"{now}, {(newest - now_s) / 60:,.0f} minutes behind the newest time in {what}"
        mend = f"compare it with the clock of whatever wrote there, and set the wrong one; here {_SET}"
        return Finding("clock", "fault" if newest > now_s + FAR_S else "warning", ahead, mend)
    if error_us is None:
        return Finding("clock", "warning", f"{now}; the kernel does not tell whether a time server holds it", _SET)
    if error_us >= _UNSYNCHRONISED_US:
        return Finding("clock", "warning", f"{now}, not synchronised: no time server holds it", _SET)
    return Finding("clock", "ok", f"{now}, synchronised, off by {error_us / 1000:,.0f} ms at most")
