import json

import pytest

from edge_ctc.cells import Verdict
from tests.browser.conftest import Opened, OpenGallery
from tests.browser.pages import cells_of, numbered, page_of, small_page

SHOWN = ["0001", "0002", "0003", "v0001", "v0002", "k0001", "k0002", "k0003", "k0004"]
MACHINE = (
    "CTC",
    "REVIEW",
    "LEUKOCYTE",
    "95.3 %",
    "rank 1",
    "score reaches threshold_ctc",
    "controls +",
    "Scores of all",
)


@pytest.fixture
def opened(open_gallery: OpenGallery) -> Opened:
    """M. Rossi reads blind."""
    gallery = open_gallery(small_page(intended_use="research"))
    gallery.read_as("M. Rossi")
    gallery.press("b", "n")
    return gallery


def seen(opened: Opened) -> str:
    """The words on the page, without the bar's."""
    return opened.tab.locator("header").inner_text() + opened.tab.locator("main").inner_text()


def test_before_blind_mode_the_page_tells_what_the_machine_said(open_gallery: OpenGallery) -> None:
    words = seen(open_gallery(small_page(intended_use="research")))
    assert [word for word in MACHINE if word not in words] == []


def test_blind_mode_hides_all_that_the_machine_said(opened: Opened) -> None:
    words = seen(opened)
    assert [word for word in MACHINE if word in words] == []
    assert opened.tab.locator(".histogram").is_visible() is False
    assert opened.tab.locator("[data-thumbnail-id]:visible").count() == 0
    borders = opened.tab.locator("article").evaluate_all("all => all.map(one => getComputedStyle(one).borderLeftColor)")
    assert len(set(borders)) == 1
    assert "Your readings count as blind" in opened.text(".blind-note")


def test_blind_mode_mixes_all_shown_cells_and_leaving_restores_their_order(opened: Opened) -> None:
    order = opened.order()
    assert sorted(order) == sorted(SHOWN)
    assert order != SHOWN
    assert opened.current == order[0]
    assert opened.progress == "0 of 9 read"
    opened.press("b", "y")
    assert opened.order() == SHOWN
    assert opened.progress == "0 of 5 read"


def test_the_order_is_the_readers_own_and_always_the_same(opened: Opened, open_gallery: OpenGallery) -> None:
    again, other = (open_gallery(small_page(), locale=locale) for locale in ("en-GB", "it-IT"))
    again.read_as("M. Rossi")
    other.read_as("A. Bianchi")
    for one in (again, other):
        one.press("b", "n")
    assert again.order() == opened.order()
    assert other.order() != opened.order()


def test_reading_goes_on_in_the_shuffled_order_and_remembers_that_it_was_blind(opened: Opened) -> None:
    order = opened.order()
    opened.press(*("4" for _ in order))
    assert opened.progress == "9 of 9 read"
    assert opened.reading(order[0]) == "4 definitely a CTC (blind)"
    readings = json.loads(opened.save())["readings"]
    assert [reading["blind"] for reading in readings] == [True] * 9
    assert [reading["cell_id"] for reading in readings] == SHOWN


def test_the_question_is_asked_before_anything_counts_and_hides_what_it_asks_for(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page())
    opened.read_as("M. Rossi")
    opened.press("b")
    assert opened.tab.locator("#seen-dialog").is_visible()
    backdrop = "getComputedStyle(document.getElementById('seen-dialog'), '::backdrop').backgroundColor"
    assert "rgba" not in opened.tab.evaluate(backdrop)
    opened.press("Enter")
    assert opened.order() == SHOWN


def test_who_has_seen_the_verdicts_gets_them_hidden_but_not_counted(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page())
    opened.read_as("M. Rossi")
    opened.press("b", "y")
    assert "do not count as blind" in opened.text(".blind-note")
    opened.press("4")
    (reading,) = json.loads(opened.save())["readings"]
    assert reading["blind"] is False


def test_who_has_read_with_the_verdicts_in_sight_is_not_asked(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page())
    opened.read_as("M. Rossi")
    opened.press("4", "b")
    assert not opened.tab.locator("#seen-dialog").is_visible()
    assert "do not count as blind" in opened.text(".blind-note")


def test_leaving_is_asked_for_and_ends_blind_reading_for_good(opened: Opened) -> None:
    opened.press("4", "b", "n")
    assert opened.order() != SHOWN
    opened.press("b", "Enter")
    assert opened.order() != SHOWN
    opened.press("b", "y", "n", "3", "b", "1")
    blind = [reading["blind"] for reading in json.loads(opened.save())["readings"]]
    assert sorted(blind) == [False, False, True]


def test_a_blind_reading_that_is_changed_in_the_open_says_that_it_is_blind_no_more(opened: Opened) -> None:
    cell = opened.current
    opened.press("4", "b", "y")
    opened.tab.locator(f'[data-cell-id="{cell}"] h3').click()
    opened.press("c")
    assert "It was read blind and no longer is" in opened.message
    assert opened.reading(cell) == "4 definitely a CTC, cluster"
    opened.press("u")
    assert opened.reading(cell) == "4 definitely a CTC (blind)"


def test_another_readers_grades_are_not_on_the_page_in_blind_mode(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page())
    opened.read_as("M. Rossi")
    opened.press("4", "4", "4", "4", "4")
    opened.read_as("A. Bianchi")
    opened.press("b", "n", *("1" for _ in SHOWN))
    assert "Rossi" not in str(opened.tab.locator("main").text_content())
    opened.press("b", "y")
    assert opened.text('[data-cell-id="0001"] .others') == "M. Rossi: 4 definitely a CTC"


def test_another_reader_in_blind_mode_sees_no_verdict_in_between(opened: Opened) -> None:
    order = opened.order()
    opened.read_as("A. Bianchi")
    assert opened.tab.locator("#seen-dialog").is_visible()
    opened.press("n")
    assert opened.order() != order
    assert not opened.tab.locator(".verdict").first.is_visible()
    opened.press("2")
    assert json.loads(opened.save())["readings"][0]["blind"] is True


def test_a_reload_stays_blind_from_the_first_paint(opened: Opened) -> None:
    order = opened.order()
    opened.press("4")
    opened.tab.add_init_script(
        "new MutationObserver(() => { const verdict = document.querySelector('.verdict');"
        "if (verdict?.checkVisibility({ visibilityProperty: true })) console.error('a verdict was seen') })"
        ".observe(document, { childList: true, subtree: true, attributes: true })"
    )
    opened.reload()
    assert opened.order() == order
    assert opened.progress == "1 of 9 read"
    opened.press("4")
    assert {reading["blind"] for reading in json.loads(opened.save())["readings"]} == {True}


def test_undo_works_in_blind_mode(opened: Opened) -> None:
    first = opened.current
    opened.press("4", "u")
    assert opened.current == first
    assert opened.progress == "0 of 9 read"


def test_n_finds_the_next_unread_cell_of_the_shuffled_order(opened: Opened) -> None:
    order = opened.order()
    opened.press("j", "4", "k", "k", "n")
    assert opened.current == order[2]


@pytest.fixture
def opened_blind(open_gallery: OpenGallery) -> Opened:
    """A gallery at whose address stands #blind."""
    return open_gallery(small_page(intended_use="research"), fragment="#blind")


def test_a_page_that_is_opened_blind_shows_no_verdict_before_somebody_has_a_name(opened_blind: Opened) -> None:
    words = opened_blind.tab.locator("body").inner_text()
    assert [word for word in MACHINE if word in words] == []
    assert opened_blind.tab.locator("article:visible").count() == 0
    opened_blind.press("Escape")
    assert opened_blind.tab.locator("article:visible").count() == 0
    opened_blind.answer_name("A. Bianchi")
    assert sorted(opened_blind.order()) == sorted(SHOWN)
    assert [word for word in MACHINE if word in seen(opened_blind)] == []
    assert opened_blind.progress == "0 of 9 read"


def test_readings_of_a_page_that_was_opened_blind_count_as_blind_without_a_question(opened_blind: Opened) -> None:
    opened_blind.answer_name("A. Bianchi")
    opened_blind.press("4")
    assert [one["blind"] for one in json.loads(opened_blind.save())["readings"]] == [True]
    opened_blind.reload()
    opened_blind.press("3")
    assert [one["blind"] for one in json.loads(opened_blind.save())["readings"]] == [True, True]


def test_one_who_has_seen_the_verdicts_reads_a_page_that_is_opened_blind_in_sight(
    open_gallery: OpenGallery, opened_blind: Opened
) -> None:
    sighted = open_gallery(small_page(intended_use="research"))
    sighted.read_as("A. Bianchi")
    sighted.press("4")
    opened_blind.answer_name("A. Bianchi")
    assert "do not count as blind" in opened_blind.text(".blind-note")


@pytest.mark.parametrize("reloaded", [False, True])
def test_after_the_verdicts_were_shown_the_next_reader_is_asked(opened_blind: Opened, reloaded: bool) -> None:
    opened_blind.answer_name("A. Bianchi")
    opened_blind.press("b", "y")
    if reloaded:
        opened_blind.reload()
    assert opened_blind.tab.locator(".verdict:visible").count() == len(SHOWN)
    opened_blind.read_as("M. Rossi")
    opened_blind.press("b")
    opened_blind.tab.locator("#seen-dialog[open]").wait_for()


def test_who_may_have_looked_at_the_page_before_is_asked(open_gallery: OpenGallery) -> None:
    open_gallery(small_page())
    opened = open_gallery(small_page(), fragment="#blind")
    opened.answer_name("A. Bianchi")
    opened.tab.locator("#seen-dialog[open]").wait_for()
    opened.press("Escape")
    opened.tab.locator("#seen-dialog[open]").wait_for()
    opened.press("n")
    opened.press("4")
    assert [one["blind"] for one in json.loads(opened.save())["readings"]] == [True]


def test_an_open_page_becomes_blind_when_its_address_says_so(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page(intended_use="research"))
    opened.read_as("M. Rossi")
    opened.press("4")
    opened.tab.evaluate("location.hash = '#blind'")
    opened.answer_name("A. Bianchi")
    opened.tab.locator("#seen-dialog[open]").wait_for()
    opened.press("n")
    assert [word for word in MACHINE if word in seen(opened)] == []
    assert opened.text("#who") == "A. Bianchi"
    opened.press("4")
    assert [one["blind"] for one in json.loads(opened.save())["readings"]] == [True]


def test_what_was_seen_in_another_tab_ends_blindness_here(open_gallery: OpenGallery) -> None:
    blind = open_gallery(small_page(), fragment="#blind")
    blind.answer_name("A. Bianchi")
    blind.press("4")
    sighted = open_gallery(small_page())
    sighted.read_as("A. Bianchi")
    sighted.press("j", "4")
    blind.tab.wait_for_timeout(300)
    blind.press("3")
    assert sorted(one["blind"] for one in json.loads(blind.save())["readings"]) == [False, False, True]
    blind.reload()
    assert "do not count as blind" in blind.text(".blind-note")


def test_no_key_grades_a_cell_that_is_not_to_be_seen(opened_blind: Opened) -> None:
    opened_blind.tab.evaluate("document.getElementById('name-dialog').close('')")
    opened_blind.tab.evaluate("document.querySelectorAll('dialog[open]').forEach(one => one.remove())")
    opened_blind.press("4")
    assert opened_blind.tab.locator("article[data-grade='4']").count() == 0


def test_a_run_of_the_same_name_in_another_folder_is_another_run(open_gallery: OpenGallery, opened: Opened) -> None:
    opened.press("b", "y")
    opened.press("4")
    other = open_gallery(small_page(run_id="run 1"), folder="elsewhere", fragment="#blind")
    other.answer_name("M. Rossi")
    assert "Your readings count as blind" in other.text(".blind-note")
    other.press("s")
    opened.reload()
    assert opened.text("#who") == "M. Rossi, not saved as a file"


def test_no_picture_comes_later_than_others_and_tells_a_low_rank(open_gallery: OpenGallery) -> None:
    opened = open_gallery(page_of(cells_of(Verdict.CTC, 1, numbered("", 310))), fragment="#blind")
    opened.answer_name("A. Bianchi")
    assert opened.tab.locator("img[loading=lazy]").count() == 0


def test_a_run_without_any_cell_can_be_opened_blind(open_gallery: OpenGallery) -> None:
    opened = open_gallery(page_of(), fragment="#blind")
    assert opened.tab.locator("#name-dialog[open]").count() == 0
    assert opened.tab.locator(".no-candidates").is_visible()
