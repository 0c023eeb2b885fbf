"""Template, style and script in one document, under a policy that lets nothing else run and nothing out."""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from edge_ctc.gallery.visible_text import visible
from edge_ctc.trust import Reason

_BDI = (Markup("<bdi>"), Markup("</bdi>"))
_HEAD_SCRIPTS = ("store.js", "opening.js")
_SCRIPTS = ("words.js", "review_file.js", "shuffle.js", "readings.js", "dialogs.js", "view.js", "gallery.js")


def document(style: str, **shown: object) -> str:
    """The HTML of `gallery.html` with `shown`; `style` is CSS of this page beside gallery.css."""
    styles = (_own("gallery.css") + Markup(style),)  # noqa: S704 - numbers alone come in from outside
    head, body = (tuple(_own(name) for name in names) for names in (_HEAD_SCRIPTS, _SCRIPTS))
    policy = _policy(styles, (*head, *body))
    template = _environment().get_template("gallery.html")
    return template.render(styles=styles, head_scripts=head, scripts=body, policy=policy, **shown)


def _policy(styles: tuple[str, ...], scripts: tuple[str, ...]) -> str:
    """Content Security Policy Level 3: all is forbidden but pictures in the file, and these styles and scripts.

    Trusted types forbid the scripts to make elements from text.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes(scripts)}",
            f"style-src {_hashes(styles)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hashes(texts: tuple[str, ...]) -> str:
    digests = [hashlib.sha256(text.encode()).digest() for text in texts]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("edge_ctc.gallery", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"text": _text_of_others, "plain": visible, "exactly": _exactly, "json": _json}
    environment.filters |= {"moment": _moment, "probability": _probability, "on_gauge": _on_gauge}
    return environment


def _own(name: str) -> Markup:
    """A file of ours, which is no text of others."""
    return Markup((files("edge_ctc.gallery") / "templates" / name).read_text("utf-8"))  # noqa: S704


def _text_of_others(text: str) -> Markup:
    """An id, a name or a reason in its own direction, with nothing hidden in it."""
    return _BDI[0] + visible(text) + _BDI[1]


def _exactly(text: str) -> Markup:
    """For an attribute: HTML reads a carriage return as a line feed unless it is a reference."""
    return Markup(str(escape(text)).replace("\r", "&#13;"))  # noqa: S704


def _json(value: object) -> Markup:
    """JSON that ends no script element."""
    return Markup(json.dumps(value).replace("<", "\\u003c"))  # noqa: S704


def _moment(utc: str) -> str:
    """`2026-11-23 22:22 UTC` of ISO 8601."""
    return f"{utc[:10]} {utc[11:16]} UTC"


def _probability(p_ctc: float) -> str:
    """Percent with one decimal; never 0 or 100, which no calibration can promise."""
    if p_ctc < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if p_ctc >= 0.9995 else f"{100 * p_ctc:.1f} %"


def _on_gauge(reason: Reason) -> float | None:
    """Where the figure lies on a gauge of 0 to 120, at its end where it lies further off; None where nothing is drawn.

    What is expected lies at 30 to 90, or up to 90 where nothing is too low.
    """
    if reason.found is None or reason.high is None:
        return None
    low, left = (0.0, 0.0) if reason.low is None else (reason.low, 30.0)
    place = left + (90 - left) * (reason.found - low) / (reason.high - low)
    return round(min(max(place, 5.0), 115.0), 1)
