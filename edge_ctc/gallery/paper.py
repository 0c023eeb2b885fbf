"""What stands at the foot of each printed sheet: a sheet that is taken from the others must say what it is of."""

from edge_ctc.gallery.visible_text import visible
from edge_ctc.results.manifest import Manifest


def foot_rules(manifest: Manifest) -> str:
    """CSS of the margins (CSS Paged Media Module Level 3): run and statement of use, and the number of the sheet."""
    left = _string(f"Run {visible(manifest.run_id)} - {visible(manifest.intended_use)}")
    return (
        f"@page {{ @bottom-left {{ content: {left}; font: 8pt sans-serif; width: 85%; }} "
        "@bottom-right { content: counter(page) ' / ' counter(pages); font: 8pt sans-serif; } }"
    )


def _string(text: str) -> str:
    """A CSS string in which every character but letters and digits of ASCII is its code point: none ends it."""
    written = (one if one.isascii() and one.isalnum() else f"\\{ord(one):x} " for one in text)
    return f"'{''.join(written)}'"
