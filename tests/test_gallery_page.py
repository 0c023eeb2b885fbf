import hashlib
import re
from base64 import b64decode, b64encode
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ctc.cells import Verdict
from edge_ctc.gallery.histogram import Cuts, histogram
from edge_ctc.gallery.page import Page, data_uri, render
from edge_ctc.gallery.picture_scale import PictureSize, scale_rules
from edge_ctc.gallery.visible_text import visible
from edge_ctc.trust import Trust
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


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text in each script and style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: dict[str, list[str]] = {"script": [], "style": []}
        self._open: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag if tag in self.inline and dict(attrs).get("type") != "application/json" else None

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the base class names it
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inline[self._open].append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def policy(self) -> str:
        (meta,) = (one for one in self.of("meta") if one.get("http-equiv") == "Content-Security-Policy")
        return str(meta["content"])


def test_every_cell_stands_in_the_file_ctc_then_review_then_controls() -> None:
    page = small_page()
    articles = Elements(render(page)).of("article")
    found = [(one["data-cell-id"], one["data-verdict"], one["data-images"]) for one in articles]
    assert found == [(cell.call.cell_id, cell.call.verdict, cell.images_sha256) for cell in page.shown]


def test_pictures_stand_in_the_file_byte_for_byte_in_the_order_of_the_channels() -> None:
    page = small_page()
    sources = [str(one["src"]) for one in Elements(render(page)).of("img") if "src" in one]
    found = [b64decode(source.partition(",")[2]) for source in sources]
    assert found == [picture for cell in page.shown for picture in cell.pictures]
    assert {source.partition(",")[0] for source in sources} == {"data:image/png;base64"}


def test_thumbnails_are_told_from_cells_that_can_be_read() -> None:
    page = small_page()
    elements = Elements(render(page))
    found = [
        (one["data-thumbnail-id"], one["data-images"]) for one in elements.of("button") if "data-thumbnail-id" in one
    ]
    assert found == [(one.cell_id, one.images_sha256) for one in page.thumbnails]


def test_a_sheet_stands_in_the_file_once_and_each_of_its_cells_has_a_place_on_it() -> None:
    page = page_of(rest=sheets_of(numbered("r", 230), 1))
    elements = Elements(render(page))
    (style,) = elements.inline["style"]
    sheets = re.findall(r"\.sheet-(\d+) { background-image: url\(data:image/jpeg;base64,([^)]*)\)", style)
    assert [(int(number), b64decode(picture)) for number, picture in sheets] == [
        (number, sheet.picture) for number, sheet in enumerate(page.rest)
    ]
    places = [str(one["class"]) for one in elements.of("span") if str(one.get("class")).startswith("tile ")]
    assert places == [f"tile sheet-{place // 200} x{place % 20} y{place % 200 // 20}" for place in range(230)]
    assert set(re.findall(r"\.([xy]\d+) {", style)) == {f"x{x}" for x in range(20)} | {f"y{y}" for y in range(10)}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_no_name_of_a_run_ends_the_style_or_the_string_in_it(run_id: str) -> None:
    (style,) = Elements(render(page_of(run_id=run_id, intended_use="RUO"))).inline["style"]
    found = re.search(r"@bottom-left { content: '((?:[A-Za-z0-9]|\\[0-9a-f]+ )*)'; font", style)
    assert found is not None
    read = re.sub(r"\\([0-9a-f]+) ", lambda code: chr(int(code[1], 16)), found[1])
    assert read == f"Run {visible(run_id)} - RUO"


def test_no_address_of_another_host_stands_in_the_file_and_nothing_can_be_sent() -> None:
    html = render(small_page())
    assert re.findall(r"(?:https?|wss?|ftp):|//[a-z0-9-]+\.", html) == []
    elements = Elements(html)
    assert [one for one in elements.of("form") if "action" in one or one.get("method") != "dialog"] == []
    assert [
        tag for tag, _ in elements.tags if tag in ("link", "iframe", "object", "embed", "base", "audio", "video")
    ] == []
    assert [one["href"] for one in elements.of("a")] == ["#cells"]


def test_the_policy_forbids_all_but_the_styles_and_scripts_of_the_file() -> None:
    elements = Elements(render(small_page()))
    directives = dict(part.split(" ", 1) for part in elements.policy.split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["img-src"] == "data:"
    assert directives["form-action"] == directives["base-uri"] == "'none'"
    for kind, directive in (("script", "script-src"), ("style", "style-src")):
        digests = [hashlib.sha256(text.encode()).digest() for text in elements.inline[kind]]
        assert directives[directive] == " ".join(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)
    assert [tag for tag, attributes in elements.tags if "style" in attributes] == []
    assert [name for _, attributes in elements.tags for name in attributes if name.startswith("on")] == []


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_id_stands_exactly_in_its_attribute_and_changes_no_element(cell_id: str) -> None:
    plain = Elements(render(page_of([shown(1, call_of("1", Verdict.CTC))])))
    call = call_of(cell_id, Verdict.CTC, reason=cell_id, flags=(cell_id,))
    elements = Elements(render(page_of([shown(1, call)], run_id=cell_id)))
    assert elements.of("article")[0]["data-cell-id"] == cell_id
    assert [tag for tag, _ in elements.tags if tag != "p"] == [tag for tag, _ in plain.tags if tag != "p"]


@given(st.text())
def test_what_is_shown_of_a_text_has_no_character_that_hides(text: str) -> None:
    assert all(one.isprintable() or one.isspace() for one in visible(text))
    assert not set(visible(text)) & set("\n\r\t\u202e\u2066\u200b\u2028\x7f")


def test_a_carriage_return_in_an_id_is_not_read_as_a_line_feed() -> None:
    assert 'data-cell-id="a&#13;b"' in render(page_of(cells_of(Verdict.CTC, 1, ["a\rb"])))


def test_the_sums_stand_in_the_header_and_close() -> None:
    text = re.sub(r"<[^>]*>", "", render(small_page()))
    assert "15 = 3 CTC + 2 REVIEW + 9 LEUKOCYTE + 1 NOT_EVALUABLE" in text
    assert "15 = 14 called + 1 not evaluable + 0 pending" in text
    assert "9 = 4 controls + 5 thumbnails" in text
    assert "3 = 2 used + 1 ignored + 0 failed + 0 pending" in text


def test_the_calls_that_are_shown_are_named_in_the_first_kibibyte() -> None:
    assert small_page().manifest.calls.sha256 in render(small_page())[:1024]


@pytest.mark.parametrize(
    ("p_ctc", "words"),
    [(0.9532, "95.3 %"), (0.99951, "&gt; 99.9 %"), (0.0001, "&lt; 0.1 %"), (None, "no probability: rank 1")],
)
def test_the_probability_is_never_certain(p_ctc: float | None, words: str) -> None:
    html = render(page_of(cells_of(Verdict.CTC, 1, ["1"], p_ctc=p_ctc)))
    assert f'<span class="probability">{words}</span>' in html


def without(**changes: Any) -> Page:
    return replace(small_page(), **changes)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"ctc": ()}, "11 evaluable cells, 14 scores and 1 cells not evaluable"),
        ({"rest": ()}, "9 evaluable cells"),
        ({"not_evaluable": ()}, "0 cells not evaluable"),
        ({"scores": ()}, "0 scores"),
        ({"ctc": small_page().review, "review": small_page().ctc}, "cell v0001: REVIEW among those called CTC"),
        ({"rest": sheets_of([*numbered("r", 4), "r0001"], 10)}, "cell r0001 stands twice"),
        ({"channels": CHANNELS[:1]}, "cell 0001: 4 pictures, expected 1"),
    ],
)
def test_a_page_that_leaves_a_cell_out_or_shows_one_in_a_wrong_place_is_refused(
    changes: dict[str, Any], found: str
) -> None:
    with pytest.raises(ValueError, match=found):
        without(**changes)


def test_what_is_no_picture_is_refused() -> None:
    assert data_uri(b"\xff\xd8\xff\xe0").startswith("data:image/jpeg;base64,")
    with pytest.raises(ValueError, match="expected PNG or JPEG"):
        data_uri(b"<svg onload=alert(1)>")
    with pytest.raises(ValueError, match="expected PNG"):
        render(page_of([replace(shown(1, call_of("1", Verdict.CTC)), pictures=(b"\xff\xd8",) * len(CHANNELS))]))


def test_ten_thousand_cells_are_under_thirty_megabytes() -> None:
    """Worst case for PNG: 64 x 64 pixels of pure noise."""
    leukocytes = cells_of(Verdict.LEUKOCYTE, 61, numbered("k", 200))
    large = [replace(one, pictures=shown(one.rank, one.call, side=64).pictures) for one in leukocytes]
    rest = sheets_of(numbered("r", 9740), 261)
    html = render(page_of(cells_of(Verdict.CTC, 1, numbered("", 60)), (), large, rest))
    assert html.count("data-thumbnail-id=") == 9740
    assert len(html.encode()) < 30e6


def test_the_histogram_has_every_cell_every_candidate_and_both_cuts() -> None:
    scores = [(Verdict.CTC, 3.0), (Verdict.CTC, 4.0), (Verdict.REVIEW, 1.0), *[(Verdict.LEUKOCYTE, -2.0)] * 97]
    svg = str(histogram(scores, Cuts(2.0, 0.0)))
    assert "Scores of 100 cells, from -2.00 to 4.00: 2 CTC, cut 2.00; 1 REVIEW, cut 0.00." in svg
    assert re.search(r'class="tick ctc" d="(M[\d.]+ 124v14){2}"', svg)
    assert re.search(r'class="tick review" d="(M[\d.]+ 142v14){1}"', svg)
    assert "CTC from 2.00" in svg
    assert "REVIEW from 0.00" in svg


def test_a_run_without_scores_has_no_histogram() -> None:
    assert histogram([], Cuts(0, 0)) == ""


@given(
    st.lists(
        st.tuples(st.sampled_from([Verdict.CTC, Verdict.REVIEW, Verdict.LEUKOCYTE]), st.floats(-1e6, 1e6)), min_size=1
    ),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
)
def test_any_scores_can_be_drawn_within_the_frame(
    scores: list[tuple[Verdict, float]], review: float, between: float
) -> None:
    svg = str(histogram(scores, Cuts(review + between, review)))
    places = [float(x) for x in re.findall(r"[MH]([\d.e+-]+)", svg)]
    assert all(0 <= place <= 560 for place in places)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 8))
def test_scales_grow_with_the_screen_and_stay_whole(width: int, height: int, channels: int) -> None:
    rules = scale_rules([PictureSize(width, height)], channels)
    steps = [
        (int(px), int(scale)) for px, scale in re.findall(r"min-width: (\d+)px\) { :root { --scale: (\d+);", rules)
    ]
    assert steps == sorted(steps)
    assert [scale for _, scale in steps] == sorted({scale for _, scale in steps})
    assert all(scale * height <= 340 for _, scale in steps)


@pytest.mark.parametrize(
    ("found", "low", "place"),
    [(0.3, 0.3, 30), (0.5, 0.3, 90), (0.4, 0.3, 60), (9, 0.3, 115), (-9, 0.3, 5), (0.5, None, 90), (0.25, None, 45)],
)
def test_a_gauge_shows_where_the_figure_lies_beside_what_was_expected(
    found: float, low: float | None, place: float
) -> None:
    reason = trust("red").reasons[0].model_copy(update={"found": found, "low": low, "high": 0.5})
    page = render(small_page(trust=Trust(light="red", reasons=(reason,), within=())))
    assert f'<circle class="red" cx="{float(place)}"' in page


def test_a_reason_without_an_upper_end_has_no_gauge() -> None:
    reason = trust("not judged").reasons[0].model_copy(update={"high": None})
    page = render(small_page(trust=Trust(light="not judged", reasons=(reason,), within=())))
    assert "NOT JUDGED" in page
    assert '<svg class="gauge"' not in page
