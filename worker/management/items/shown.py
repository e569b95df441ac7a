"""Texts of items as they are shown and sent on. Pure."""

from collections.abc import Mapping
from typing import Any


def shown_text(text: str) -> str:
    """Return text that can be sent on: without halves of surrogate pairs."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def shown_field(document: Mapping[str, Any], name: str) -> str | None:
    """Return a document's field as text; None where it has none."""
    value = document.get(name)
    return None if value is None else shown_text(str(value))
