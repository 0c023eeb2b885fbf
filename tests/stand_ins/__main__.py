"""`python -m tests.stand_ins`: make the stand-ins now, so that no test has to wait for a compiler."""

import sys
from functools import partial

from tests.stand_ins.building import BuildError, build


def main() -> None:
    """Make them, with a line for each step."""
    try:
        made = build(partial(print, flush=True))
    except BuildError as error:
        raise SystemExit(str(error)) from error
    sys.stdout.write(f"stand-ins: {made.folder}\n")


if __name__ == "__main__":
    main()
