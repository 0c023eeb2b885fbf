import pytest
from axe_playwright_python.sync_playwright import Axe

from edge_ctc.expected import Expected
from edge_ctc.trust import Light
from tests.browser.conftest import Opened, OpenGallery
from tests.browser.pages import page_of, small_page, trust


def violations(opened: Opened) -> str:
    results = Axe().run(opened.tab)
    return str(results.generate_report()) if results.violations_count else ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("light", ["green", "amber", "red", "not judged"])
def test_axe_finds_nothing_on_the_page(open_gallery: OpenGallery, scheme: str, light: Light) -> None:
    page = small_page(trust=trust(light), expected=Expected(mean=2.9, low=1, high=5), run_state="partial")
    opened = open_gallery(page, color_scheme=scheme)
    assert violations(opened) == ""
    opened.read_as("M. Rossi")
    opened.press("4", "c")
    assert violations(opened) == ""
    opened.tab.locator("[data-thumbnail-id]").first.click()
    opened.press("1")
    assert violations(opened) == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_blind_mode_and_without_candidates(open_gallery: OpenGallery, scheme: str) -> None:
    opened = open_gallery(small_page(), color_scheme=scheme)
    opened.read_as("M. Rossi")
    opened.press("b", "n", "4")
    assert violations(opened) == ""
    assert violations(open_gallery(page_of(), color_scheme=scheme)) == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("dialog", ["name", "seen", "leave", "refused", "help"])
def test_axe_finds_nothing_in_any_dialog(open_gallery: OpenGallery, scheme: str, dialog: str) -> None:
    opened = open_gallery(small_page(), color_scheme=scheme)
    opened.tab.evaluate(f"document.getElementById('{dialog}-dialog').showModal()")
    assert violations(opened) == ""


def test_axe_finds_nothing_in_the_warning_that_nothing_is_kept(open_gallery: OpenGallery) -> None:
    opened = open_gallery(small_page(), before="Storage.prototype.setItem = () => { throw new Error('full') }")
    assert opened.tab.locator("#not-kept").is_visible()
    assert violations(opened) == ""
