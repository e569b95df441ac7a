"""What a value is, as sentences name it: "an int", "a dict". Pure."""

import re
from typing import Final

_AN: Final = re.compile(r"_*(?:[aeio]|un(?!i)|up)", re.IGNORECASE)
"""Names that are spoken with a vowel first; a UUID and a Union are not."""


def kind_of(value: object) -> str:
    """Return the name of a value's type with its article."""
    return with_article(type(value).__name__)


def with_article(name: str) -> str:
    """Return the name of a type with its article."""
    return f"{'an' if _AN.match(name) else 'a'} {name}"
