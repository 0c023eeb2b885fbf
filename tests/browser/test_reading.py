import json
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, expect

from edge_ctc.cells import Verdict
from edge_ctc.gallery.page import Page, render
from tests.browser.conftest import Opened, OpenGallery
from tests.browser.pages import CHANNELS, call_of, cells_of, numbered, page_of, shown, small_page


@pytest.fixture
def opened(open_gallery: OpenGallery) -> Opened:
    """A small gallery that M. Rossi reads."""
    gallery = open_gallery(small_page())
    gallery.read_as("M. Rossi")
    return gallery


@pytest.mark.parametrize(
    ("key", "words"),
    [("1", "definitely not"), ("2", "most likely not"), ("3", "most likely"), ("4", "definitely a CTC")],
)
def test_a_grade_key_grades_and_goes_on(opened: Opened, key: str, words: str) -> None:
    opened.press(key)
    assert opened.reading("0001") == f"{key} {words}"
    assert opened.current == "0002"
    assert opened.progress == "1 of 5 read"


def test_fifty_candidates_are_fifty_keystrokes_and_a_save(open_gallery: OpenGallery) -> None:
    page = page_of(cells_of(Verdict.CTC, 1, numbered("", 30)), cells_of(Verdict.REVIEW, 31, numbered("v", 20)))
    opened = open_gallery(page)
    opened.read_as("M. Rossi")
    opened.press(*(str(place % 4 + 1) for place in range(50)))
    assert opened.progress == "50 of 50 read"
    assert opened.message == "All 50 are read. Save with s."
    readings = json.loads(opened.save())["readings"]
    assert [reading["grade"] for reading in readings] == [place % 4 + 1 for place in range(50)]
    assert [reading["cell_id"] for reading in readings] == numbered("", 30) + numbered("v", 20)


@pytest.mark.parametrize(("key", "mark"), [("c", "cluster"), ("d", "debris"), ("q", "doubt")])
def test_a_mark_key_puts_the_mark_on_and_off_and_stays(opened: Opened, key: str, mark: str) -> None:
    opened.press(key)
    assert opened.reading("0001") == f"no grade, {mark}"
    assert opened.tab.locator(f'[data-key="{key}"]').get_attribute("aria-pressed") == "true"
    assert (opened.current, opened.progress) == ("0001", "0 of 5 read")
    opened.press(key)
    assert opened.reading("0001") == "not read"


def test_marks_stand_in_one_order_beside_the_grade(opened: Opened) -> None:
    opened.press("q", "c", "3")
    assert opened.reading("0001") == "3 most likely, cluster, doubt"


@pytest.mark.parametrize(("forth", "back"), [("ArrowRight", "ArrowLeft"), ("ArrowDown", "ArrowUp"), ("j", "k")])
def test_keys_move_forth_and_back_as_far_as_there_are_cells(opened: Opened, forth: str, back: str) -> None:
    opened.press(back)
    assert opened.current == "0001"
    opened.press(forth, forth)
    assert opened.current == "0003"
    opened.press(back)
    assert opened.current == "0002"
    opened.press(*([forth] * 20))
    assert opened.current == "r0005"


def test_the_current_cell_has_the_focus_and_stands_clear_of_the_bar(opened: Opened) -> None:
    for _ in range(8):
        opened.press("j")
        assert opened.tab.evaluate("document.activeElement.dataset.cellId") == opened.current
        cell, bar = (
            opened.tab.locator("article[aria-current]").bounding_box(),
            opened.tab.locator("#bar").bounding_box(),
        )
        assert cell is not None
        assert bar is not None
        assert 0 <= cell["y"] <= cell["y"] + cell["height"] <= bar["y"]


def test_n_goes_to_the_next_unread_candidate_and_only_then_to_the_controls(opened: Opened) -> None:
    opened.press("j", "4", "4")
    assert opened.current == "v0001"
    opened.press("4", "4", "n")
    assert opened.current == "0001"
    opened.press("4")
    assert opened.message == "All 5 are read. Save with s."
    opened.press("n")
    assert opened.current == "k0001"
    opened.press("1")
    assert opened.current == "k0002"
    assert opened.progress == "5 of 5 read, and 1 other"


def test_undo_takes_every_step_back(opened: Opened) -> None:
    opened.press("4", "c", "3", "k", "k", "1")
    before = [opened.reading(cell) for cell in ("0001", "0002")]
    assert before == ["1 definitely not", "3 most likely, cluster"]
    opened.press("u")
    assert opened.reading("0001") == "4 definitely a CTC"
    assert opened.current == "0001"
    opened.press("u")
    assert opened.reading("0002") == "no grade, cluster"
    opened.press("u")
    assert opened.reading("0002") == "not read"
    opened.press("u")
    assert opened.reading("0001") == "not read"
    assert opened.progress == "0 of 5 read"
    opened.press("u")
    assert opened.message == "Nothing to undo."


def test_a_reading_that_was_taken_back_leaves_as_taken_back(opened: Opened) -> None:
    """Else a file that was imported before would keep it for ever."""
    opened.press("4", "u")
    (reading,) = json.loads(opened.save())["readings"]
    assert (reading["grade"], reading["marks"]) == (None, [])
    assert opened.message.startswith("0 readings saved")


def test_a_key_that_is_held_down_grades_one_cell(opened: Opened) -> None:
    opened.tab.keyboard.down("4")
    opened.tab.keyboard.down("4")
    opened.tab.keyboard.down("4")
    opened.tab.keyboard.up("4")
    assert opened.progress == "1 of 5 read"


def test_a_key_with_control_or_alt_is_the_browsers(opened: Opened) -> None:
    opened.press("Control+4", "Alt+1", "Meta+2")
    assert opened.progress == "0 of 5 read"


def test_capitals_are_the_same_keys(opened: Opened) -> None:
    opened.press("C", "J")
    assert opened.reading("0001") == "no grade, cluster"
    assert opened.current == "0002"


def test_the_buttons_do_what_their_keys_do(opened: Opened) -> None:
    opened.tab.locator('[data-key="d"]').click()
    opened.tab.locator('[data-key="4"]').click()
    assert opened.reading("0001") == "4 definitely a CTC, debris"
    assert opened.current == "0002"
    opened.press("3")
    assert opened.reading("0002") == "3 most likely"


def test_t_changes_the_theme_which_stays(opened: Opened) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = opened.tab.evaluate(ground)
    opened.press("t")
    dark = opened.tab.evaluate(ground)
    assert dark != light
    opened.reload()
    assert opened.tab.evaluate(ground) == dark
    opened.press("t")
    assert opened.tab.evaluate(ground) == light


def test_the_theme_is_the_systems_at_first(open_gallery: OpenGallery) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    found = {open_gallery(small_page(), color_scheme=wish).tab.evaluate(ground) for wish in ("light", "dark")}
    assert found == {"rgb(244, 243, 239)", "rgb(16, 19, 21)"}


def test_the_help_names_every_key_and_closes_with_enter(opened: Opened) -> None:
    opened.press("?")
    named = opened.tab.locator("#help-dialog dt kbd").all_inner_texts()
    assert set("1234cdqnubsort") | set("→↓j←↑k") == set(named)
    opened.press("Enter", "4")
    assert opened.progress == "1 of 5 read"


def test_a_click_makes_a_cell_current(opened: Opened) -> None:
    opened.tab.locator('[data-cell-id="v0002"] h3').click()
    assert opened.current == "v0002"


def test_a_thumbnail_is_shown_enlarged_with_its_note_and_not_graded(opened: Opened) -> None:
    opened.tab.locator('[data-thumbnail-id="r0002"]').click()
    assert opened.current == "r0002"
    assert "Cell r0002, rank 11" in opened.text("#lens")
    assert "Lossy, one channel (BF), not for reading" in opened.text("#lens")
    opened.press("2", "c")
    assert opened.message == (
        "Cell r0002 is lossy here and cannot be graded: edge-ctc report draws it in all channels with --also r0002."
    )
    opened.press("n")
    assert opened.current == "0001"
    assert not opened.tab.locator("#lens").is_visible()
    assert json.loads(opened.save())["readings"] == []


def test_a_cell_without_a_picture_is_not_graded(open_gallery: OpenGallery) -> None:
    gone, whole = (shown(rank, call_of(str(rank), Verdict.CTC)) for rank in (1, 2))
    opened = open_gallery(page_of([replace(gone, pictures=(b"",) * len(CHANNELS)), whole]))
    opened.read_as("M. Rossi")
    opened.press("4")
    assert opened.message == "Cell 1 has no picture here: it cannot be graded."
    assert opened.reading("1") == "not read"
    opened.press("j", "4")
    assert opened.reading("2") == "4 definitely a CTC"


def test_a_key_too_many_does_not_change_the_last_cell(opened: Opened) -> None:
    opened.press("4", "4", "4", "4", "4", "1")
    assert opened.reading("v0002") == "4 definitely a CTC"
    assert opened.message == "Cell v0002 is read: 4 definitely a CTC. Press the key again to change it."
    opened.press("1")
    assert opened.reading("v0002") == "1 definitely not"


def test_the_first_grade_asks_for_a_name_and_then_stands(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page())
    opened.press("4")
    opened.answer_name("  M. Rossi ")
    assert opened.reading("0001") == "4 definitely a CTC"
    assert opened.text("#who").startswith("M. Rossi,")


def test_without_a_name_nothing_is_graded(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page())
    opened.press("4", "Enter")
    assert opened.tab.locator("#name-dialog").is_visible()
    opened.tab.keyboard.type("   ")
    opened.press("Enter")
    assert opened.tab.locator("#name-dialog").is_visible()
    opened.press("Escape")
    assert opened.progress == "0 of 5 read"
    assert opened.reading("0001") == "not read"


def test_a_cell_that_is_off_the_screen_is_shown_before_it_is_graded(opened: Opened) -> None:
    opened.tab.set_viewport_size({"width": 1400, "height": 500})
    opened.tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    opened.press("4")
    assert opened.progress == "0 of 5 read"
    assert opened.message == "Cell 0001 was off the screen and is not graded: here it is. Press the key again."
    opened.press("4")
    assert opened.reading("0001") == "4 definitely a CTC"


def test_the_same_grade_once_more_is_no_step_to_take_back(opened: Opened) -> None:
    opened.press("4", "k", "4", "k", "4", "u")
    assert opened.progress == "0 of 5 read"


def test_nothing_is_lost_on_reload(opened: Opened) -> None:
    opened.press("4", "c", "3")
    assert opened.progress == "2 of 5 read"
    opened.reload()
    assert opened.text("#who").startswith("M. Rossi")
    assert (opened.progress, opened.current) == ("2 of 5 read", "0003")
    assert opened.reading("0002") == "3 most likely, cluster"
    opened.press("u", "u", "u")
    assert opened.progress == "0 of 5 read"


def test_a_new_tab_asks_who_reads_and_finds_the_readings_by_the_name(open_gallery: OpenGallery, opened: Opened) -> None:
    opened.press("4")
    again = open_gallery(small_page())
    assert again.progress == "0 of 5 read"
    again.read_as("M. Rossi")
    assert again.progress == "1 of 5 read"


def test_a_first_grade_never_replaces_what_the_named_reader_said_before(
    open_gallery: OpenGallery, opened: Opened
) -> None:
    opened.press("4")
    again = open_gallery(small_page())
    again.press("1")
    again.answer_name("M. Rossi")
    assert again.reading("0001") == "4 definitely a CTC"
    assert again.message.startswith("You have read this cell before: 4 definitely a CTC.")


def test_two_tabs_of_one_reader_lose_nothing(open_gallery: OpenGallery, opened: Opened) -> None:
    other = open_gallery(small_page())
    other.read_as("M. Rossi")
    other.press("j", "3")
    opened.press("4")
    for one in (opened, other):
        expect(one.tab.locator("#progress")).to_have_text("2 of 5 read")
        one.reload()
        assert [one.reading(cell) for cell in ("0001", "0002")] == ["4 definitely a CTC", "3 most likely"]


def test_readers_are_kept_apart_and_see_each_other_only_beside_their_own(opened: Opened) -> None:
    opened.press("4", "3")
    opened.read_as("A. Bianchi")
    assert opened.progress == "0 of 5 read"
    assert opened.tab.locator(".others:visible").count() == 0
    opened.press("k", "k", "1")
    assert opened.text('[data-cell-id="0001"] .others') == "M. Rossi: 4 definitely a CTC"
    assert opened.tab.locator(".others:visible").count() == 1
    opened.read_as("M. Rossi")
    assert opened.progress == "2 of 5 read"
    assert opened.reading("0001") == "4 definitely a CTC"


def called_again(page: Page) -> Page:
    """The same run, of which other calls were made."""
    calls = page.manifest.calls.model_copy(update={"sha256": "9" * 64})
    return replace(page, manifest=page.manifest.model_copy(update={"calls": calls}))


def test_nothing_is_lost_when_the_run_is_called_again(open_gallery: OpenGallery, opened: Opened) -> None:
    opened.press("4", "c", "3")
    again = open_gallery(called_again(small_page()))
    again.read_as("M. Rossi")
    assert again.progress == "2 of 5 read"
    assert again.reading("0002") == "3 most likely, cluster"
    assert len(json.loads(again.save())["readings"]) == 2


def test_a_reader_goes_on_in_the_same_tab_when_the_run_is_called_again(opened: Opened, tmp_path: Path) -> None:
    opened.press("4", "b", "y")
    file = tmp_path / f"{small_page().manifest.run_folder}.ctc-gallery.html"
    file.write_text(render(called_again(small_page())), "utf-8")
    opened.reload()
    assert opened.text("#who").startswith("M. Rossi")
    assert opened.progress == "1 of 9 read"
    assert not opened.tab.locator(".verdict:visible").count()


def test_what_was_read_on_other_images_is_not_said_of_these(open_gallery: OpenGallery, opened: Opened) -> None:
    opened.press("4", "3")
    page = called_again(small_page())
    first = replace(page.ctc[0], images_sha256="8" * 64)
    other = open_gallery(replace(page, ctc=(first, *page.ctc[1:])))
    other.read_as("M. Rossi")
    assert other.progress == "1 of 5 read"
    assert other.reading("0001") == "not read"


def test_another_run_in_the_same_browser_is_another_matter(open_gallery: OpenGallery, opened: Opened) -> None:
    opened.press("4")
    other = open_gallery(small_page(run_id="another"))
    other.read_as("M. Rossi")
    assert other.progress == "0 of 5 read"


TOLD_WHEN_TOUCHED_TOO_EARLY = """
let isDrawn = false;
requestAnimationFrame(() => requestAnimationFrame(() => (isDrawn = true)));
for (const area of ["localStorage", "sessionStorage"]) {
  const { get } = Object.getOwnPropertyDescriptor(window, area);
  Object.defineProperty(window, area, {
    get() {
      if (!isDrawn) console.error(`${area} was touched before the page was drawn`);
      return get.call(window);
    },
  });
}
"""


def test_what_the_browser_keeps_is_not_asked_for_before_the_page_was_drawn_once(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page(), before=TOLD_WHEN_TOUCHED_TOO_EARLY)
    opened.read_as("M. Rossi")
    opened.press("4")
    opened.reload()
    assert opened.progress == "1 of 5 read"
    assert not opened.troubles


STORAGE_FAULTS = {
    "full": "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }",
    "denied": "for (const area of ['localStorage', 'sessionStorage']) Object.defineProperty(window, area, "
    "{ get() { throw new DOMException('denied', 'SecurityError') } })",
}


@pytest.mark.parametrize("fault", STORAGE_FAULTS)
def test_where_nothing_is_kept_it_is_said_at_once_and_before_leaving(open_gallery: OpenGallery, fault: str) -> None:
    opened = open_gallery(small_page(), before=STORAGE_FAULTS[fault])
    assert f"NOT kept in this browser ({'QuotaExceeded' if fault == 'full' else 'Security'}Error" in opened.text(
        "#not-kept"
    )
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    opened.tab.on("dialog", stay)
    opened.read_as("M. Rossi")
    opened.press("4")
    assert opened.progress == "1 of 5 read"
    opened.reload()
    assert asked == ["beforeunload"]
    opened.read_as("M. Rossi")
    opened.press("4")
    assert json.loads(opened.save())["readings"][0]["grade"] == 4
    opened.reload()
    assert asked == ["beforeunload"]


@pytest.mark.parametrize("fault", STORAGE_FAULTS)
def test_where_nothing_is_kept_the_page_has_it_whatever_happens_in_other_tabs(
    open_gallery: OpenGallery, fault: str
) -> None:
    opened = open_gallery(small_page(), before=STORAGE_FAULTS[fault])
    opened.read_as("M. Rossi")
    opened.press("4", "3")
    opened.tab.evaluate("dispatchEvent(new StorageEvent('storage'))")
    assert opened.progress == "2 of 5 read"
    opened.read_as("A. Bianchi")
    assert opened.progress == "0 of 5 read"
    opened.read_as("M. Rossi")
    assert opened.progress == "2 of 5 read"
    assert len(json.loads(opened.save())["readings"]) == 2


def test_where_all_is_kept_nobody_is_asked_before_leaving(opened: Opened) -> None:
    opened.tab.on("dialog", lambda dialog: opened.troubles.append(dialog.type))
    opened.press("4")
    assert not opened.tab.locator("#not-kept").is_visible()
    opened.reload()
    assert opened.progress == "1 of 5 read"
