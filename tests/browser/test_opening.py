import re
from dataclasses import replace

import pytest
from playwright.sync_api import Error

from edge_ctc.cells import Verdict
from edge_ctc.expected import Expected
from tests.browser.conftest import OpenGallery
from tests.browser.pages import (
    CHANNELS,
    call_of,
    cells_of,
    numbered,
    page_of,
    sheets_of,
    shown,
    small_page,
    trust,
)

SHOWN = ["0001", "0002", "0003", "v0001", "v0002", "k0001", "k0002", "k0003", "k0004"]
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "=1+1",
    "two\nlines",
    "a\r\nreturn",
    "evil\u202egpj.exe",
    "\"quotes' & <b>",
    "{{ 7 * 7 }}",
    "long " + 400 * "x",
    "   blanks  within  ",
    "ברכות",
]


def test_every_shown_cell_is_painted_in_rank_order_with_all_its_pictures(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page())
    assert opened.order() == SHOWN
    pictures = opened.tab.locator("article[data-cell-id] img")
    painted = pictures.evaluate_all("all => Promise.all(all.map(one => one.decode().then(() => one.naturalWidth)))")
    assert painted == [16] * len(SHOWN) * len(CHANNELS)
    assert opened.tab.locator('[data-cell-id="0001"] figcaption').all_inner_texts() == [
        channel.label for channel in CHANNELS
    ]


def test_of_many_cells_the_later_pictures_are_there_once_somebody_gets_to_them(open_gallery: OpenGallery) -> None:
    opened = open_gallery(page_of(cells_of(Verdict.CTC, 1, numbered("", 310))))
    pictures = opened.tab.locator("article[data-cell-id] img")
    lazy = pictures.evaluate_all("all => all.map(one => one.loading === 'lazy')")
    assert lazy == [False] * 300 * len(CHANNELS) + [True] * 10 * len(CHANNELS)
    opened.tab.locator("[data-cell-id='0310']").click()
    opened.tab.wait_for_function("document.querySelector('[data-cell-id=\"0310\"] img').naturalWidth === 16")


def test_without_javascript_everything_is_shown_and_the_review_is_said_to_be_missing(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page(), java_script_enabled=False)
    assert opened.tab.locator("article[data-cell-id]").count() == len(SHOWN)
    assert opened.tab.locator("button[data-thumbnail-id]").count() == 5
    assert "cells cannot be graded" in opened.text(".no-script")
    assert not opened.tab.locator("#bar").is_visible()


def test_a_script_that_came_in_could_send_nothing_and_run_nothing_more(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page())
    opened.tab.evaluate("fetch('https://example.org/').catch(() => 0)")
    opened.tab.evaluate("new Image().src = 'https://example.org/pixel.png'")
    with pytest.raises(Error, match="TrustedScript"):
        opened.tab.evaluate("document.createElement('script').text = 'alert(1)'")
    with pytest.raises(Error, match="TrustedHTML"):
        opened.tab.evaluate("document.body.innerHTML = '<b>bold</b>'")
    opened.tab.wait_for_timeout(100)
    policies = {trouble for trouble in opened.troubles if trouble.startswith("console: policy: ")}
    assert {"console: policy: connect-src", "console: policy: img-src"} <= policies
    assert not [trouble for trouble in opened.troubles if trouble.startswith("request: ")]
    opened.troubles.clear()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_string_stays_text_wherever_it_stands(open_gallery: OpenGallery, hostile: str) -> None:
    call = call_of(hostile, Verdict.CTC, reason=hostile, flags=(hostile,), cage_row=hostile, cage_col=hostile)
    page = page_of(
        [shown(1, call)],
        rest=sheets_of([f"t{hostile}"], 2),
        torn=[f"n{hostile}"],
        run_id=hostile,
        intended_use=hostile,
        engine=hostile,
        software_version=hostile,
        trust=trust("red", hostile),
    )
    plain = open_gallery(small_page()).tab.locator("body *")
    opened = open_gallery(page)
    assert opened.tab.locator("script").count() == plain.page.locator("script").count()
    assert opened.tab.locator("[onerror], b, img[src=x]").count() == 0
    assert opened.current == hostile
    # The characters that nobody would see are written out; all others are as they came.
    written = re.sub(r"[\n\r\u202e]", lambda found: f"⟨U+{ord(found[0]):04X}⟩", hostile)
    for place in ("h1 .run-id", "h3 .cell-id", ".reason bdi", ".flags bdi", ".intended-use bdi", ".trust li bdi"):
        assert opened.tab.locator(place).first.text_content() == written
    assert opened.tab.locator("button[data-thumbnail-id] bdi").text_content() == f"t{written}"
    assert opened.tab.locator("#not-evaluable td bdi").first.text_content() == f"n{written}"


def test_a_hostile_reader_and_id_stay_text_in_what_the_script_says(open_gallery: OpenGallery) -> None:
    hostile = "<img src=x onerror=alert(1)>\u202e"
    opened = open_gallery(page_of(cells_of(Verdict.CTC, 1, [hostile, "2"])))
    opened.read_as(hostile)
    opened.press("4")
    assert opened.message == "Cell <img src=x onerror=alert(1)>⟨U+202E⟩: 4 definitely a CTC."
    assert opened.text("#who").startswith("<img src=x onerror=alert(1)>⟨U+202E⟩")
    assert opened.tab.locator("img[src=x]").count() == 0


def test_no_candidates_is_said_first_with_how_many_were_looked_at(open_gallery: OpenGallery) -> None:
    opened = open_gallery(page_of(controls=cells_of(Verdict.LEUKOCYTE, 1, numbered("k", 3)), torn=["t1"]))
    said = opened.text(".no-candidates")
    assert "No candidates" in said
    assert "4 cells were looked at: none was called CTC or REVIEW, and 1 could not be evaluated." in said
    assert opened.progress == "no candidates to read"
    assert opened.tab.locator(".no-candidates").bounding_box()["y"] < 150  # type: ignore[index]


def test_a_run_without_any_cell_opens_and_no_key_fails(open_gallery: OpenGallery) -> None:
    opened = open_gallery(page_of())
    assert "0 cells were looked at" in opened.text(".no-candidates")
    opened.read_as("M. Rossi")
    opened.press("4", "c", "n", "j", "k", "u", "b", "n", "b", "y", "t")
    assert opened.progress == "no candidates to read"


@pytest.mark.parametrize(("pixel_size_um", "pixels"), [(0.5, 20.0), (0.3, 100 / 3)])
def test_the_scale_bar_is_as_long_as_ten_micrometres_of_the_pictures(
    open_gallery: OpenGallery, pixel_size_um: float, pixels: float
) -> None:
    opened = open_gallery(page_of(cells_of(Verdict.CTC, 1, ["1"], pixel_size_um=pixel_size_um)))
    picture = opened.tab.locator("article img").first.bounding_box()
    bar = opened.tab.locator(".scale-bar").bounding_box()
    assert picture is not None
    assert bar is not None
    assert picture["width"] > 2 * 16
    assert bar["width"] / picture["width"] == pytest.approx(pixels / 16, rel=0.01)


def test_an_unknown_pixel_size_is_said_in_place_of_the_bar(open_gallery: OpenGallery) -> None:
    opened = open_gallery(page_of(cells_of(Verdict.CTC, 1, ["1"], pixel_size_um="unknown")))
    assert opened.text("article .scale") == "pixel size unknown"
    assert opened.tab.locator(".scale-bar").count() == 0


def test_all_pictures_of_a_page_have_one_scale(open_gallery: OpenGallery) -> None:
    cells = [shown(1, call_of("1", Verdict.CTC), side=24), shown(2, call_of("2", Verdict.CTC), side=12)]
    opened = open_gallery(page_of(cells))
    scales = opened.tab.locator("article img").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().width / one.naturalWidth)"
    )
    assert len(set(scales)) == 1
    assert scales[0] > 1
    assert scales[0] == int(scales[0])


def test_the_header_tells_trust_in_words_and_the_expected_count(open_gallery: OpenGallery) -> None:
    page = small_page(trust=trust("amber"), expected=Expected(mean=2.9, low=1, high=5))
    opened = open_gallery(page)
    assert opened.text(".trust").startswith("Trust in this run: AMBER")
    assert "focus is worse" in opened.text(".trust")
    assert opened.text(".expected") == "5 candidates; expected 2.9, 90 % 1-5"


def test_a_green_run_shows_its_figures_to_who_asks(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page())
    assert opened.text(".trust").startswith("Trust in this run: GREEN")
    assert not opened.tab.locator(".trust details .gauge").is_visible()
    opened.tab.locator(".trust summary").click()
    assert opened.tab.locator(".trust details .gauge").is_visible()
    assert "noise is usual" in opened.text(".trust details")
    assert opened.tab.locator("html").get_attribute("data-trust") == "green"


def test_a_picture_that_is_gone_is_said_to_be(open_gallery: OpenGallery) -> None:
    gone = replace(shown(1, call_of("1", Verdict.CTC)), pictures=(b"",) * len(CHANNELS))
    opened = open_gallery(page_of([gone], rest=sheets_of(["2", "3"], 2, gone=["2"])))
    assert opened.tab.locator("article .no-picture").count() == len(CHANNELS)
    opened.tab.locator("[data-thumbnail-id='3']").click()
    assert opened.tab.locator("#lens .tile").is_visible()
    opened.tab.locator("[data-thumbnail-id='2']").click()
    assert not opened.tab.locator("#lens .tile").is_visible()
    assert opened.text("[data-thumbnail-id='2']").startswith("no picture")


def test_print_has_candidates_grades_header_and_statement_and_nothing_else(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page(intended_use="RUO: not for diagnosis"))
    opened.read_as("M. Rossi")
    opened.press("4")
    opened.tab.emulate_media(media="print")
    assert opened.order() == SHOWN[:5]
    assert opened.text(".intended-use") == "RUO: not for diagnosis"
    assert opened.text("#read-by") == "Read by M. Rossi: 1 of 5 read."
    assert opened.reading("0001") == "4 definitely a CTC"
    boxes = "getComputedStyle(document.querySelector('[data-cell-id=\"0002\"] .reading'), '::after').content"
    assert opened.tab.evaluate(boxes) == '": 1 ☐  2 ☐  3 ☐  4 ☐"'
    for hidden in ("#bar", "#rest", "#controls", ".skip"):
        assert not opened.tab.locator(hidden).is_visible()
    opened.tab.emulate_media(media="screen")
    assert opened.tab.pdf(format="A4").startswith(b"%PDF")


def test_paper_has_also_the_pictures_that_were_never_on_the_screen(open_gallery: OpenGallery) -> None:
    opened = open_gallery(page_of(cells_of(Verdict.CTC, 1, numbered("", 340))))
    assert opened.tab.pdf(format="A4").count(b"/Subtype /Image") == 340 * len(CHANNELS)


def test_tab_goes_from_the_skip_link_to_the_current_cell_and_then_to_the_bar(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page())
    focused = []
    for _ in range(5):
        opened.press("Tab")
        focused.append(opened.tab.evaluate("(e => e.className || e.dataset.key || e.tagName)(document.activeElement)"))
    assert focused == ["skip", "SUMMARY", "cell", "1", "2"]
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert opened.tab.evaluate(outline) == "solid"
