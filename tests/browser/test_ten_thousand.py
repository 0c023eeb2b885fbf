from collections.abc import Callable
from dataclasses import replace

from edge_ctc.cells import Verdict
from tests.browser.conftest import OpenGallery
from tests.browser.pages import cells_of, numbered, page_of, sheets_of, shown

FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"


def test_ten_thousand_cells_open_and_are_read(
    open_gallery: OpenGallery, record_property: Callable[[str, object], None]
) -> None:
    """60 candidates and 200 controls of noise, the worst case for PNG. The time is told, not judged."""
    ctc, controls = cells_of(Verdict.CTC, 1, numbered("", 60)), cells_of(Verdict.LEUKOCYTE, 61, numbered("k", 200))
    large = [
        [replace(one, pictures=shown(one.rank, one.call, 64).pictures) for one in cells] for cells in (ctc, controls)
    ]
    rest = sheets_of(numbered("r", 9740), 261)
    opened = open_gallery(page_of(large[0], (), large[1], rest))
    painted, loaded = (opened.tab.evaluate(when) / 1000 for when in (FIRST_PAINT, LOADED))
    record_property("seconds until the first paint", painted)
    record_property("seconds until the load event", loaded)
    print(f"first paint {painted:.2f} s, load event {loaded:.2f} s")  # noqa: T201
    opened.read_as("M. Rossi")
    opened.press("4", "4", "4")
    assert opened.progress == "3 of 60 read"
    opened.press("b", "y")
    opened.press("t")
    assert opened.progress == "3 of 260 read"
