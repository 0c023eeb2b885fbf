"""Text of others, shown so that nothing in it hides or turns the text around it."""

import unicodedata

_HIDDEN = ("C", "Zl", "Zp")


def visible(text: str) -> str:
    """`text` with each character that cannot be seen written as its code point: `⟨U+202E⟩` turns no line around.

    Those of Unicode's categories C (control, format, surrogate, private use, not assigned), Zl and Zp; spaces stay.
    """
    if text.isprintable():
        return text
    return "".join(f"⟨U+{ord(one):04X}⟩" if unicodedata.category(one).startswith(_HIDDEN) else one for one in text)
