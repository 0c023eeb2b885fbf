"""Whether an export says itself that it is over."""

from collections.abc import Collection, Sequence

from edge_ctc.cells import Cell
from edge_ctc.exports.listing import Listing
from edge_ctc.exports.profile import Profile
from edge_ctc.exports.run_table import RunTable
from edge_ctc.exports.runs import is_sentinel


def says_it_is_over(
    listing: Listing, cells: Sequence[Cell], table: RunTable, profile: Profile, wanted: Collection[str]
) -> bool:
    """Whether the sentinel is there, or the table counts just the cells that are there, each with every channel.

    Args:
        listing: of the run; none of its files is still being written.
        cells: of the run, with the files of all channels.
        table: of the run.
        profile: how the run is laid out.
        wanted: the channels that the checkpoint takes.
    """
    if any(is_sentinel(file.name, profile) for file in listing.files):
        return True
    if profile.table is None or profile.table.rows != "cells-with-images" or table.problem or not table.rows:
        return False
    if table.without_images or any(cell.cell_id not in table.rows for cell in cells):
        return False
    # What one cell shows, each must show: the last images may come after the table, and some instruments write channel
    # by channel.
    shown = {frozenset(cell.channels) for cell in cells}
    return len(shown) == 1 and all(None in channels or channels.issuperset(wanted) for channels in shown)
