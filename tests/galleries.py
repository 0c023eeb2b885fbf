"""What a gallery shows, read as any program would read it."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class _Shown(HTMLParser):
    """Every element with a cell's id, and the pictures inside."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[dict[str, Any]] = []
        self.thumbnails: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if "data-cell-id" in given:
            found = {"id": given["data-cell-id"], "verdict": given["data-verdict"], "images": given["data-images"]}
            self.cells.append(found | {"pictures": []})
        elif "data-thumbnail-id" in given:
            self.thumbnails.append(str(given["data-thumbnail-id"]))
        elif tag == "img" and "src" in given and not self.thumbnails:
            self.cells[-1]["pictures"].append(given["src"])


def shown_in(run: Path) -> list[dict[str, Any]]:
    """The cells with pictures of their own in the gallery beside `run`: id, verdict, images, pictures."""
    return _read(run).cells


def thumbnails_in(run: Path) -> list[str]:
    """The ids of the cells that a thumbnail alone shows."""
    return _read(run).thumbnails


def _read(run: Path) -> _Shown:
    parser = _Shown()
    parser.feed(run.with_name(f"{run.name}.ctc-gallery.html").read_text(encoding="utf-8"))
    return parser
