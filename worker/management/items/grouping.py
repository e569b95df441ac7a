"""Groups of errors: one for messages that differ in ids, numbers, quoted text and the like. Pure.

1. The first line of a message, with a word in the place of each such part, is what a group is
   known by; its id is made of that, so it is the same everywhere and at any time.
2. As many groups as anybody can look at are kept apart; what else comes is counted together.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from worker.management.items.types import ErrorGroupResponse, ErrorSample
from worker.openiap.fields import text_of

MOST_GROUPS: Final = 1_000
MOST_QUEUES: Final = 100
LONGEST: Final = 400
"""Characters of a message that are looked at."""
OTHER: Final = "other"
"""The id of what is counted together."""
NO_MESSAGE: Final = "(no message)"
_CODE: Final = re.compile(r"\[([^\[\]\s]{1,100})\] ")
# What is longer or surer comes first: a date has numbers, an address has a path. Each expression
# begins with something that is rare in text, or is anchored, and repeats single characters alone.
_PARTS: Final = (
    (re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>)\]]+", re.I), "<url>"),
    (re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|`[^`]*`"), "<text>"),
    (re.compile(r"(?<!\w)'[^']*'(?!\w)"), "<text>"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"), "<address>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I), "<uuid>"),
    (
        re.compile(
            r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?(?!\w)"
            r"|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"
        ),
        "<date>",
    ),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b"), "<address>"),
    (re.compile(r"(?<![\w/\\])(?:[A-Za-z]:)?(?:[/\\][\w.@%+~-]+){2,}[/\\]?"), "<path>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.I), "<hex>"),
    # Long ones with a digit: words of the letters a to f stay.
    (re.compile(r"\b(?=[0-9a-f]{0,40}\d)[0-9a-f]{8,128}\b", re.I), "<id>"),
    (re.compile(r"\b(?=[A-Za-z_-]{0,20}\d)[A-Za-z]{1,10}[-_]\d[\w-]*"), "<id>"),
    (re.compile(r"(?<![\w<])[+-]?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?", re.I), "<number>"),
)
_SPACES: Final = re.compile(r"\s+")


def normalised(message: str) -> tuple[str | None, str]:
    """Return the code of a message, if it has one, and what its group is known by."""
    first = message.lstrip().partition("\n")[0][:LONGEST]
    found = _CODE.match(first)
    text = first[found.end() :] if found else first
    for pattern, word in _PARTS:
        text = pattern.sub(word, text)
    return found[1] if found else None, _SPACES.sub(" ", text).strip() or NO_MESSAGE


def group_id(code: str | None, message: str) -> str:
    """Return the id of a group."""
    return hashlib.sha256(f"{code or ''}\0{message}".encode("utf-8", "replace")).hexdigest()[:12]


def group_of(document: Mapping[str, Any]) -> str:
    """Return the id of the group that an item belongs to."""
    return group_id(*normalised(_message(document)))


class Groups:
    """Counts items by their errors, one after the other."""

    def __init__(self) -> None:
        self._found: dict[str, ErrorGroupResponse] = {}

    def add(self, document: Mapping[str, Any]) -> None:
        """Take an item with its ``errormessage``, ``wiq`` and ``_modified``."""
        message = _message(document)
        code, known_by = normalised(message)
        id = group_id(code, known_by)
        if id not in self._found and len(self._found) >= MOST_GROUPS:
            id, code, known_by = OTHER, None, "(other messages)"
        queue, at = text_of(document.get("wiq")), text_of(document.get("_modified"))
        group = self._found.get(id)
        if group is None:
            sample = ErrorSample.model_construct(
                id=text_of(document.get("_id")), queue=queue, message=message[:2_000]
            )
            group = self._found[id] = ErrorGroupResponse.model_construct(
                id=id,
                message=known_by,
                code=code,
                count=0,
                queues={},
                first=at or None,
                last=at or None,
                sample=sample,
            )
        group.count += 1
        if queue in group.queues or len(group.queues) < MOST_QUEUES:
            group.queues[queue] = group.queues.get(queue, 0) + 1
        if at:
            group.first = min(group.first or at, at)
            group.last = max(group.last or at, at)

    def found(self) -> list[ErrorGroupResponse]:
        """Return the groups, the largest first."""
        return sorted(self._found.values(), key=lambda one: (-one.count, one.id))


def _message(document: Mapping[str, Any]) -> str:
    value = document.get("errormessage")
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
