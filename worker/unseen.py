"""Characters of foreign texts that act on terminals or are not seen: made visible. Pure.

1. Which they are the Unicode categories say: controls, formats (bidirectional controls, zero
   widths, tags), surrogates, separators of lines and paragraphs; and the letters that are blank.
2. What joins letters or emoji, and what chooses between two looks of a character, stays where it
   does that, and is made visible where it only hides.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

Escape = Callable[[str], str]

_ASCII: Final = re.compile("[\x00-\x1f\x7f]")
_ASCII_BUT_LAYOUT: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_LAYOUT: Final = "\t\n"
_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2065\u2800\u3164\uffa0")
"""Seen by nobody, though their categories are those of letters, marks and symbols."""
_SIGNS: Final = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
"""Formats that are seen: Arabic, Syriac and Kaithi signs that stand before a number."""
_JOINERS: Final = frozenset("\u200c\u200d")
_KEYCAP: Final = "\u20e3"


def seen(text: str, escape: Escape, *, layout: bool = False) -> str:
    """Return a text in which nothing acts and nothing hides.

    Args:
        text: whatever somebody wrote.
        escape: what stands for such a character.
        layout: whether line breaks and tabs stay.
    """
    if text.isascii():
        expression = _ASCII_BUT_LAYOUT if layout else _ASCII
        return expression.sub(lambda found: escape(found[0]), text)
    kept = _LAYOUT if layout else ""
    return "".join(
        escape(one) if one not in kept and _unseen(text, place, one) else one
        for place, one in enumerate(text)
    )


def _unseen(text: str, place: int, one: str) -> bool:
    if " " <= one < "\x7f":
        return False
    if _chooses(one):
        return not _has_two_looks(text, place)
    if one in _JOINERS:
        return not (_joins(text[place - 1 : place]) and _joins(text[place + 1 : place + 2]))
    if one in _BLANK or "\ufff0" <= one <= "\ufff8" or "\U000e0000" <= one <= "\U000e0fff":
        return True
    return unicodedata.category(one) in _CATEGORIES and one not in _SIGNS


def _chooses(one: str) -> bool:
    """Whether it is a variation selector."""
    return (
        "\ufe00" <= one <= "\ufe0f"
        or "\U000e0100" <= one <= "\U000e01ef"
        or "\u180b" <= one <= "\u180f"
    )


def _has_two_looks(text: str, place: int) -> bool:
    """Whether a variation selector follows what may have one: a symbol, a sign, an ideograph."""
    before = text[place - 1 : place]
    if not before or _chooses(before):
        return False
    if before in "0123456789#*":
        return text[place + 1 : place + 2] == _KEYCAP
    return not before.isascii() and unicodedata.category(before) in {"So", "Sm", "Po", "Lo", "Sk"}


def _joins(one: str) -> bool:
    """Whether it is part of a script or an emoji that joiners belong to."""
    if not one or one.isascii():
        return False
    return unicodedata.category(one) in {"Lo", "Mn", "Mc", "So", "Sk"}
