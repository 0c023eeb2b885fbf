"""The pictures of docs/gallery.md: `python -m tests.pictures.gallery` calls simulated runs and opens their pages."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from edge_ctc.classify import classify_run
from edge_ctc.models import OpenModels
from edge_ctc.plan import Request
from edge_ctc.simulate import Layout, write_run
from tests.benchmarks.walk import Silent
from tests.browser.conftest import CHROMIUM
from tests.pictures.simulator import PICTURES

CELLS, CTCS, SEED = 400, 12, 7
SHADES = 64
"""A page has few colours: the files are a third as large."""


def brightened(run: Path) -> None:
    """Twice the camera's gain, which makes a run red."""
    for path in (run / "Images").iterdir():
        with Image.open(path) as image:
            counts = np.asarray(image).astype(float)
        Image.fromarray(np.clip(counts * 2, 0, 4095).astype(np.uint16)).save(path)


def drawn(folder: Path, name: str, ctcs: int, change: Callable[[Path], None] | None, models: OpenModels) -> str:
    """The address of the gallery of a simulated run."""
    run = folder / name
    write_run(run, CELLS, ctcs, SEED, Layout.FLAT)
    if change is not None:
        change(run)
    place = classify_run(Request(run), models, Silent()).place
    return place.gallery.as_uri()


def named(tab: Page) -> None:
    """M. Rossi reads."""
    tab.keyboard.press("r")
    tab.locator("#name").fill("M. Rossi")
    tab.keyboard.press("Enter")


def taken(tab: Page, name: str) -> None:
    """The picture of what is on the screen."""
    path = PICTURES / f"gallery-{name}.png"
    tab.screenshot(path=path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(SHADES, dither=Image.Dither.NONE).save(path, optimize=True)


def opened(browser: Browser, address: str, scheme: str = "light") -> Page:
    """In a fresh profile."""
    context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": 1280, "height": 860})  # type: ignore[arg-type]
    tab = context.new_page()
    tab.goto(address)
    tab.locator(":root:not(.opening)").wait_for()
    return tab


def main() -> None:
    """Take all of them."""
    with tempfile.TemporaryDirectory() as scratch, OpenModels() as models, sync_playwright() as playwright:
        folder = Path(scratch)
        usual, red = (
            drawn(folder, name, CTCS, change, models) for name, change in (("P07", None), ("P08", brightened))
        )
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        tab = opened(browser, usual)
        taken(tab, "candidates")
        named(tab)
        for key in ("4", "c", "3", "n"):
            tab.keyboard.press(key)
        tab.locator("[data-cell-id]").nth(1).scroll_into_view_if_needed()
        taken(tab, "reading")
        tab.locator("[data-thumbnail-id]").nth(40).click()
        taken(tab, "rest")
        dark = opened(browser, red, "dark")
        taken(dark, "red")
        blind = opened(browser, f"{usual}#blind")
        blind.locator("#name").fill("A. Bianchi")
        blind.keyboard.press("Enter")
        blind.locator("article:visible").first.wait_for()
        taken(blind, "blind")
        browser.close()


if __name__ == "__main__":
    main()
