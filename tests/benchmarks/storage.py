"""How often Chromium loses what a local file keeps, by when the page first asks for it: for docs/results.md.

`python -m tests.benchmarks.storage`, a quarter of an hour. Several browsers at once, since only a busy machine loses.
"""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM

_BROWSERS, _PROFILES, _RELOADS = 3, 25, 6
_AREAS = ("localStorage", "sessionStorage")
_FIRST_ASKED = {
    "while the page is read": "ask()",
    "when the document is there": "addEventListener('DOMContentLoaded', ask)",
    "when the page was drawn once": "requestAnimationFrame(() => requestAnimationFrame(ask))",
}
_PAGE = """<!doctype html><p>{filler}</p><script>
function ask() {{ window.found = {area}.getItem("kept") ?? "nothing" }}
{when}
</script>"""


def lost(area: str, when: str) -> int:
    """In one browser: how often a reloaded page does not find what was written before."""
    count = 0
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder, "page.html")
        page.write_text(_PAGE.format(filler="x" * 200_000, area=area, when=when))
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        for _ in range(_PROFILES):
            profile = browser.new_context()
            tab = profile.new_page()
            tab.goto(page.as_uri())
            for value in map(str, range(_RELOADS)):
                tab.wait_for_function("window.found")
                tab.evaluate(f"{area}.setItem('kept', {value})")
                tab.reload()
                tab.wait_for_function("window.found")
                count += tab.evaluate("window.found") != value
            profile.close()
        browser.close()
    return count


def main() -> None:
    """Print the table."""
    asked = _BROWSERS * _PROFILES * _RELOADS
    print(f"| first asked | localStorage lost, of {asked} | sessionStorage lost, of {asked} |\n|---|---|---|")  # noqa: T201
    with ProcessPoolExecutor(_BROWSERS) as pool:
        for name, when in _FIRST_ASKED.items():
            found = [sum(pool.map(lost, [area] * _BROWSERS, [when] * _BROWSERS)) for area in _AREAS]
            print(f"| {name} | {found[0]} | {found[1]} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
