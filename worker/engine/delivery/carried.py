"""What a conditional update carries as it is. Pure.

OpenIAP makes dates and regular expressions of texts in it: a date of every text that has one
anywhere inside (with a fraction of a second), so "late at 2026-11-20T10:00:00.000Z" would be stored
as 1970; a regular expression of one that begins with ``__REGEXP``. Its own update of an item leaves
both as they are, and makes a date of a text that is one and nothing else, as pushing does (openflow
1.5.10.62, ``DatabaseConnection.UpdateDocument``).
"""

import re
from datetime import datetime
from typing import Final

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(?:[+-]\d\d:\d\d|Z)")
_MAYBE: Final = re.compile(r"T\d\d:\d\d:\d\d\.\d")
"""Stands in every one, and is found much faster."""
_EXPRESSION: Final = "__REGEXP "


def carried(text: str) -> bool:
    """Whether all that is in some JSON text arrives as it would by an update of the item."""
    if _EXPRESSION in text:
        return False
    if _MAYBE.search(text) is None:
        return True
    return all(_alone(text, found) for found in _DATE.finditer(text))


def _alone(text: str, found: re.Match[str]) -> bool:
    """Whether a date is all of a text; a quote behind a backslash is part of one."""
    start = found.start()
    before, after = text[start - 2 : start], text[found.end() : found.end() + 1]
    return before[-1:] == after == '"' and before[:1] != "\\" and _is_date(found[0])


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
