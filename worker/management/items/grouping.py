"""Groups of errors: one for messages that differ in ids, numbers, quoted text and the like. Pure.

1. The first line of a message, with a word in the place of each such part (``message_parts.py``),
   is what a group is known by; its id is made of that, so it is the same everywhere and at any
   time. Where the first line only announces the next ones, two of them count as well.
2. As many groups as anybody can look at are kept apart; what else comes is counted together.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from worker.management.items.message_parts import LONGEST as LOOKED_AT
from worker.management.items.message_parts import without_parts
from worker.management.items.types import ErrorGroupResponse, ErrorSample
from worker.openiap.fields import text_of

MOST_GROUPS: Final = 1_000
MOST_QUEUES: Final = 100
LONGEST: Final = 400
"""Characters of what a group is known by."""
GROUP: Final = re.compile("[0-9a-f]{12}")
"""The id of a group."""
OTHER: Final = "other"
"""The id of what is counted together."""
NO_MESSAGE: Final = "(no message)"
_CODE: Final = re.compile(r"\[([^\[\]\s]{1,100})\] ")
_ANNOUNCES: Final = re.compile(r"(?:\d+ validation errors? for \S.*|.*:\s*)")
"""A first line that says nothing without the next ones: pydantic's, and whatever ends so."""
NEXT_LINES: Final = 2


def normalised(message: str) -> tuple[str | None, str]:
    """Return the code of a message, if it has one, and what its group is known by."""
    text = _first(message)
    found = _CODE.match(text)
    known_by = without_parts(text[found.end() :] if found else text)
    return found[1] if found else None, known_by[:LONGEST] or NO_MESSAGE


def _first(message: str) -> str:
    lines = message[: 2 * LOOKED_AT].lstrip().splitlines()[: NEXT_LINES + 1]
    if not lines:
        return ""
    announces = _ANNOUNCES.fullmatch(lines[0].partition(": ")[2] or lines[0])
    return " ".join(lines if announces else lines[:1])[:LOOKED_AT]


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
