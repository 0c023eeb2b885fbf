"""`edge-ctc` as it is, with its peak resident memory in MB as the last line of standard error.

The kernel counts a child's peak from before it became another program, so a large parent would be measured instead;
VmHWM counts from then on.
"""

import atexit
import re
import sys
from pathlib import Path

from edge_ctc.cli import main


def report() -> None:
    """Write the figure."""
    found = re.search(r"VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text())
    sys.stderr.write(f"{int(found[1]) // 1024 if found else 0}\n")


if __name__ == "__main__":
    atexit.register(report)
    main()
