import json
from pathlib import Path
from typing import Any

import pytest

from edge_ctc.cells import Verdict
from edge_ctc.review.review_file import read_review
from tests.browser.conftest import Opened, OpenGallery
from tests.browser.pages import cells_of, page_of, small_page

HOSTILE = '=1+1</script>\r\n\u202e"é'


@pytest.fixture
def opened(open_gallery: OpenGallery) -> Opened:
    """A gallery that nobody has read."""
    return open_gallery(small_page())


@pytest.fixture
def saved(open_gallery: OpenGallery) -> dict[str, Any]:
    """What M. Rossi saved in another browser: 4, 3 with cluster, and debris alone."""
    other = open_gallery(small_page(), locale="en-GB")
    other.read_as("M. Rossi")
    other.press("4", "c", "3", "d")
    content: dict[str, Any] = json.loads(other.save())
    return content


def refusal(opened: Opened) -> str:
    """What the dialog says; then it is closed."""
    opened.tab.locator("#refused-dialog[open]").wait_for()
    why = opened.text("#refused-why")
    opened.press("Enter")
    return why


def test_a_saved_review_is_one_that_review_import_reads(opened: Opened, tmp_path: Path) -> None:
    opened.read_as(HOSTILE.replace("\r\n", " "))
    opened.press("4", "q", "c", "u", "3", "d")
    path = tmp_path / "review.json"
    path.write_bytes(opened.save())
    review = read_review(path)
    assert review.reader == HOSTILE.replace("\r\n", " ")
    assert (review.run_id, review.checkpoint_sha256) == ("run 1", "c" * 64)
    found = [(one.cell_id, one.grade, one.marks, one.blind) for one in review.readings]
    assert found == [("0001", 4, (), False), ("0002", 3, ("doubt",), False), ("0003", None, ("debris",), False)]
    assert [one.images_sha256 for one in review.readings] == [cell.images_sha256 for cell in small_page().ctc]


def test_the_file_is_named_after_run_and_reader(opened: Opened) -> None:
    opened.read_as("M. Rossi / é")
    opened.press("4")
    with opened.tab.expect_download() as download:
        opened.press("s")
    assert download.value.suggested_filename == "run 1.M. Rossi _ é.ctc-review.json"
    assert "M. Rossi / é, not saved" not in opened.text("#who")
    opened.press("4")
    assert opened.text("#who") == "M. Rossi / é, not saved as a file"


def test_o_opens_the_browsers_choice_of_files(opened: Opened, saved: dict[str, Any]) -> None:
    # The browser is told to hand its choice over before the page is loaded once more, and so has heard it.
    opened.tab.on("filechooser", lambda _: None)
    opened.reload()
    opened.tab.bring_to_front()
    with opened.tab.expect_file_chooser() as chooser:
        opened.press("o")
    content = json.dumps(saved).encode()
    chooser.value.set_files({"name": "some.json", "mimeType": "application/json", "buffer": content})
    opened.tab.get_by_text("3 readings of").wait_for()


def test_a_review_comes_back_in_a_fresh_browser(opened: Opened, saved: dict[str, Any]) -> None:
    opened.take(saved)
    opened.tab.get_by_text("3 readings of").wait_for()
    assert opened.message == (
        "3 readings of M. Rossi opened: 3 new, 0 later than here and taken, 0 earlier than here and left, 0 the same."
    )
    assert opened.progress == "2 of 5 read"
    assert opened.reading("0002") == "3 most likely, cluster"
    assert json.loads(opened.save())["readings"] == saved["readings"]
    opened.reload()
    assert opened.progress == "2 of 5 read"


def test_hostile_ids_come_back_too(open_gallery: OpenGallery) -> None:
    page = page_of(cells_of(Verdict.CTC, 1, [HOSTILE, "2"]), run_id=HOSTILE)
    first, second = open_gallery(page), open_gallery(page, locale="it-IT")
    first.read_as("M. Rossi")
    first.press("4")
    saved = json.loads(first.save())
    assert (saved["run_id"], saved["readings"][0]["cell_id"]) == (HOSTILE, HOSTILE)
    second.take(saved)
    second.tab.get_by_text("1 reading of").wait_for()
    assert second.progress == "1 of 2 read"


def test_the_later_reading_of_a_cell_stays_and_the_counts_are_told(opened: Opened, saved: dict[str, Any]) -> None:
    opened.read_as("M. Rossi")
    opened.press("1", "1")
    first, second, _ = saved["readings"]
    first["read_at_utc"] = "2026-01-01T00:00:00Z"
    second["read_at_utc"] = opened.tab.evaluate("new Date(Date.now() + 3600000).toISOString().slice(0, 19) + 'Z'")
    opened.take(saved)
    opened.tab.get_by_text("3 readings of").wait_for()
    assert "1 new, 1 later than here and taken, 1 earlier than here and left, 0 the same." in opened.message
    assert opened.reading("0001") == "1 definitely not"
    assert opened.reading("0002") == "3 most likely, cluster"
    assert opened.reading("0003") == "no grade, debris"
    opened.take(saved)
    opened.tab.get_by_text("2 the same").wait_for()


def test_another_readers_review_is_kept_apart(opened: Opened, saved: dict[str, Any]) -> None:
    opened.read_as("A. Bianchi")
    opened.press("1")
    opened.take(saved)
    opened.tab.get_by_text("They are kept apart").wait_for()
    assert opened.text("#who").startswith("A. Bianchi")
    assert opened.reading("0001") == "1 definitely not"
    assert opened.progress == "1 of 5 read"
    assert opened.text('[data-cell-id="0001"] .others') == "M. Rossi: 4 definitely a CTC"


def test_readings_of_other_calls_of_the_run_are_taken_where_the_pictures_are_the_same(
    opened: Opened, saved: dict[str, Any]
) -> None:
    opened.take(saved | {"calls_sha256": "9" * 64})
    opened.tab.get_by_text("They were made on other calls of this run").wait_for()
    assert opened.progress == "2 of 5 read"


WRONG_FILE: dict[str, tuple[dict[str, Any], str]] = {
    "another run": ({"run_id": "run 2"}, "It is of another run: run_id is run 2, this page is of run 1."),
    "another schema": ({"schema_version": 2}, "schema_version of it is 2."),
    "another kind": ({"kind": "shopping list"}, 'kind of it is "shopping list".'),
    "a blank reader": ({"reader": " "}, 'reader of it is " ".'),
    "a long reader": ({"reader": "x" * 101}, "reader of it is"),
    "an unknown key": ({"verdict": "CTC"}, "it has the unknown key verdict"),
    "no readings": ({"readings": None}, "readings of it is null."),
    "readings that are none": ({"readings": [4]}, "a reading is no JSON object."),
    "no moment": ({"saved_at_utc": "yesterday"}, 'saved_at_utc of it is "yesterday".'),
}
WRONG_READING: dict[str, tuple[dict[str, Any], str]] = {
    "other pictures": ({"images_sha256": "9" * 64}, "images_sha256 of cell 0001 is 999999999999… there, "),
    "an unknown cell": ({"cell_id": "0099"}, "cell 0099 is not among the evaluable cells here."),
    "a cell that could not be evaluated": ({"cell_id": "torn 1"}, "cell torn 1 is not among the evaluable cells here."),
    "a cell twice": ({"cell_id": "0002"}, "images_sha256 of cell 0002"),
    "a grade of five": ({"grade": 5}, "grade of a reading is 5."),
    "a grade in words": ({"grade": "4"}, 'grade of a reading is "4".'),
    "marks out of order": ({"marks": ["doubt", "cluster"]}, 'marks of a reading is ["doubt","cluster"].'),
    "an unknown mark": ({"marks": ["nice"]}, 'marks of a reading is ["nice"].'),
    "a mark twice": ({"marks": ["doubt", "doubt"]}, "marks of a reading is"),
    "blind as a word": ({"blind": "true"}, 'blind of a reading is "true".'),
    "the far future": ({"read_at_utc": "2999-01-01T00:00:00Z"}, "read_at_utc of a reading is"),
    "the 31st of June": ({"read_at_utc": "2026-13-31T00:00:00Z"}, "read_at_utc of a reading is"),
    "__proto__": ({"constructor": 1}, "a reading has the unknown key constructor"),
}


@pytest.mark.parametrize("fault", [*WRONG_FILE, *WRONG_READING])
def test_a_wrong_file_is_refused_with_what_differs_and_nothing_is_taken(
    opened: Opened, saved: dict[str, Any], fault: str
) -> None:
    if fault in WRONG_FILE:
        change, why = WRONG_FILE[fault]
        saved |= change
    else:
        change, why = WRONG_READING[fault]
        saved["readings"][0] |= change
    opened.take(saved, name="theirs.json")
    said = refusal(opened)
    assert said.startswith("theirs.json: It ")
    assert why in said
    assert opened.progress == "0 of 5 read"
    assert opened.text("#who") == "no reader named yet"


def test_the_same_cell_twice_is_refused(opened: Opened, saved: dict[str, Any]) -> None:
    saved["readings"].append(saved["readings"][0])
    opened.take(saved)
    assert "cell 0001 stands in it twice" in refusal(opened)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{", b"<html>", b"null", b"[]", b"4", b'"text"'])
def test_what_is_no_review_is_refused(opened: Opened, content: bytes) -> None:
    opened.take(content)
    assert "It is no review file, or a spoilt one" in refusal(opened)


def test_a_file_cut_at_any_place_is_refused(opened: Opened, saved: dict[str, Any]) -> None:
    whole = json.dumps(saved).encode()
    for length in range(1, len(whole), 211):
        opened.take(whole[:length])
        assert "It is no review file, or a spoilt one" in refusal(opened)


def test_the_same_file_can_be_opened_again_after_a_refusal(opened: Opened, saved: dict[str, Any]) -> None:
    opened.take(saved | {"run_id": "run 2"})
    refusal(opened)
    opened.take(saved)
    opened.tab.get_by_text("3 readings of").wait_for()


def test_no_review_that_was_opened_shows_in_blind_mode(opened: Opened, saved: dict[str, Any]) -> None:
    opened.read_as("A. Bianchi")
    opened.press("b", "n")
    opened.take(saved)
    opened.tab.get_by_text("They are kept apart").wait_for()
    assert "definitely" not in opened.text("main")
    opened.press("1")
    assert opened.tab.locator(".others:visible").count() == 0
