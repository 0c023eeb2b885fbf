"""Files that were preallocated and never finished: an uncompressed image that ends in nothing but zeros."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ctc.errors import ImageError

_SHARE = 8
_MIN_ROWS = 2


def check_tail(rows: NDArray[Any]) -> None:
    """Refuse an uncompressed image whose last eighth of rows was never written.

    A background that was taken off leaves rows of zeros as well; so most of the first row must be other than zero.

    Args:
        rows: (H, ...) of any unsigned type, in the order in which the file stores them.

    Raises:
        ImageError: the last eighth of rows, two at least, is zero, and less than half of the first row is.
    """
    wanted = max(_MIN_ROWS, len(rows) // _SHARE)
    # One look at the last sample spares nearly every image the rest.
    if rows.item(-1) or len(rows) < _MIN_ROWS or rows[-wanted:].any() or np.mean(rows[0] != 0) <= 0.5:
        return
    written = np.flatnonzero(rows.reshape(len(rows), -1).any(axis=1))
    empty = len(rows) - 1 - int(written[-1])
    raise ImageError(f"torn: its last {empty} rows hold nothing but zeros; copy or export it again")
