"""A real Chromium that can reach nothing but the one file."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, FilePayload, Route, sync_playwright
from playwright.sync_api import Page as Tab

from edge_ctc.gallery.page import Page, render

CHROMIUM = Path("/usr/bin/chromium")

_WATCH_POLICY = (
    "addEventListener('securitypolicyviolation', event => console.error('policy: ' + event.violatedDirective))"
)


@dataclass
class Opened:
    """A gallery that is open in a tab, and everything that went wrong or out of it."""

    tab: Tab
    address: str
    troubles: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what a page that needs nothing never does."""
        self.tab.route("**/*", self._only_the_file)
        self.tab.on("console", lambda message: self.troubles.append(f"console: {message.text}"))
        self.tab.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        self.tab.add_init_script(_WATCH_POLICY)

    def open(self, address: str) -> None:
        """Go there, and wait until the page shows."""
        self.tab.goto(address)
        self._wait_shown()

    def reload(self) -> None:
        """Once more, and wait until the page shows."""
        self.tab.reload()
        self._wait_shown()

    def _wait_shown(self) -> None:
        self.tab.locator(":root:not(.opening)").wait_for()

    def _only_the_file(self, route: Route) -> None:
        if route.request.url == self.address:
            route.continue_()
            return
        self.troubles.append(f"request: {route.request.url}")
        route.abort()

    def press(self, *keys: str) -> None:
        """One after the other."""
        for key in keys:
            self.tab.keyboard.press(key)

    def read_as(self, reader: str) -> None:
        """Name the reader with the key r."""
        self.press("r")
        self.answer_name(reader)

    def answer_name(self, reader: str) -> None:
        """Type into the dialog that asks for the name."""
        self.tab.locator("#name-dialog[open]").wait_for()
        self.tab.locator("#name").fill(reader)
        self.press("Enter")

    @property
    def current(self) -> str:
        """The id of the current cell."""
        found = self.tab.evaluate(
            "(() => { const {cellId, thumbnailId} = document.querySelector('[aria-current]').dataset;"
            "return cellId ?? thumbnailId })()"
        )
        return str(found)

    def text(self, selector: str) -> str:
        """As it is seen, without the marks that isolate names."""
        return self.tab.locator(selector).inner_text().replace("\u2068", "").replace("\u2069", "").strip()

    @property
    def progress(self) -> str:
        """The line that counts."""
        return self.text("#progress")

    @property
    def message(self) -> str:
        """What the page said last."""
        return self.text("#message")

    def reading(self, cell_id: str) -> str:
        """What stands at the cell, also before a busy browser has laid it out."""
        return str(self.tab.locator(f'[data-cell-id="{cell_id}"] .reading').text_content())

    def order(self) -> list[str]:
        """The ids of the cells that are seen, from the top."""
        cells = self.tab.locator("article[data-cell-id]:visible")
        return [str(cell) for cell in cells.evaluate_all("all => all.map(one => one.dataset.cellId)")]

    def save(self) -> bytes:
        """The review file that the key s gives."""
        with self.tab.expect_download() as download:
            self.press("s")
        return download.value.path().read_bytes()

    def take(self, content: bytes | dict[str, Any], name: str = "some.ctc-review.json") -> None:
        """Give the page a review file, as its key o would; `dict`: as JSON."""
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        file: FilePayload = {"name": name, "mimeType": "application/json", "buffer": raw}
        self.tab.locator("#review-file").set_input_files(file)


OpenGallery = Callable[..., Opened]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests."""
    if not CHROMIUM.exists():
        missing = f"{CHROMIUM} is missing: apt-get install chromium"
        # Where these tests are asked for, a browser that is not there is no reason to pass.
        (pytest.fail if "EDGE_CTC_SYSTEM" in os.environ else pytest.skip)(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """What one browser profile keeps; offline."""
    context = chromium.new_context(offline=True, viewport={"width": 1400, "height": 900})
    yield context
    context.close()


@pytest.fixture
def open_gallery(chromium: Browser, profile: BrowserContext, tmp_path: Path) -> Iterator[OpenGallery]:
    """Opens a gallery, in this test's profile or, with options of a context, in a fresh one.

    At the end of each test, none of them may have asked for anything, broken its policy, or thrown.
    """
    opened: list[Opened] = []
    contexts: list[BrowserContext] = []

    def open_in_browser(page: Page, before: str = "", fragment: str = "", folder: str = "", **options: Any) -> Opened:
        """Open; `before`: a script that runs before the page's own; `fragment`: at the end of its address."""
        (tmp_path / folder).mkdir(exist_ok=True)
        file = tmp_path / folder / f"{page.manifest.run_folder}.ctc-gallery.html"
        file.write_text(render(page), "utf-8")
        if options:
            contexts.append(chromium.new_context(offline=True, **options))
        one = Opened((contexts[-1] if options else profile).new_page(), file.as_uri())
        one.tab.set_default_timeout(15_000)
        one.watch()
        one.tab.add_init_script(before)
        opened.append(one)
        one.open(one.address + fragment)
        return one

    yield open_in_browser
    troubles = [one.troubles for one in opened]
    for context in contexts:
        context.close()
    assert not any(troubles), troubles
