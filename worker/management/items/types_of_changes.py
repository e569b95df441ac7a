"""Items made, changed one by one, and given files: what is asked for, and what is answered."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.item.unique import HeldWhile
from worker.management.items.types import MOST_TEXT

MOST_NEW: Final = 200
"""Items of one request: with keys each takes two messages, of which OpenIAP counts 30 a second."""
Result = Literal["created", "existing", "refused", "unknown"]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewItem(_Asked):
    """An item to be.

    Attributes:
        priority: the lower the more urgent.
        delay, at: not before: a time like ``5m``, or a moment with a time zone.
        headers: short texts beside the payload.
        unique: a key of this queue: while an item with it is not finished, there is no second one.
        unique_for: for how long the key is held after the item's end, like ``1h``.
        unique_update: an item that has the key and waits takes this payload, the earlier time and
            the more urgent priority.
        unique_while: ``waiting``: an item that is being worked has the key no more.
        expires: a time like ``1h``: an item that is popped later fails with the code ``EXPIRED``.
    """

    payload: dict[str, Any] = {}
    name: str = Field(default="", max_length=MOST_TEXT)
    priority: int = Field(default=2, ge=-1_000_000, le=1_000_000)
    delay: str | None = Field(default=None, max_length=40)
    at: datetime | None = None
    headers: dict[str, str] | None = None
    unique: str | None = Field(default=None, max_length=1_000)
    unique_for: str | None = Field(default=None, max_length=40)
    unique_update: bool = False
    unique_while: HeldWhile | None = None
    expires: str | None = Field(default=None, max_length=40)


class ItemCreatePayload(NewItem):
    """An item for a queue."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"queue": "orders", "payload": {"customer": "acme"}, "unique": "4711"}]
        },
    )

    queue: str = Field(min_length=1, max_length=MOST_TEXT)


class ItemsCreateBatchPayload(_Asked):
    """Items for a queue."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "queue": "orders",
                    "items": [{"payload": {"n": 1}}, {"payload": {"n": 2}, "delay": "5m"}],
                }
            ]
        },
    )

    queue: str = Field(min_length=1, max_length=MOST_TEXT)
    items: list[NewItem] = Field(min_length=1, max_length=MOST_NEW)


class ItemCreatedResponse(BaseModel):
    """What came of one.

    Attributes:
        result: ``created``; ``existing``: it was there under its key; ``refused``, for ``reason``;
            ``unknown``: the answer was lost. With a key it can be sent again.
        updated: the one that was there took what this brought.
    """

    result: Result
    id: str | None = None
    updated: bool = False
    reason: str | None = None


class ItemsCreateBatchResponse(BaseModel):
    """What came of each, in their order; OpenIAP has no transaction."""

    created: int
    existing: int
    refused: int
    unknown: int
    items: list[ItemCreatedResponse]


class ItemUpdatePayload(_Asked):
    """Another priority, or a JSON Merge Patch (RFC 7396) for the payload, of a waiting or failed
    item."""

    id: str = Field(max_length=MOST_TEXT)
    priority: int | None = Field(default=None, ge=-1_000_000, le=1_000_000)
    patch: dict[str, Any] | None = None


class ItemMovePayload(_Asked):
    """A waiting or failed item for another queue."""

    id: str = Field(max_length=MOST_TEXT)
    to: str = Field(min_length=1, max_length=MOST_TEXT)


class ItemFileGetPayload(_Asked):
    """A file of an item, by its id or by its name."""

    id: str = Field(max_length=MOST_TEXT)
    file: str = Field(max_length=MOST_TEXT)


class ItemFileCreatePayload(_Asked):
    """A file for an item that nobody works."""

    id: str = Field(max_length=MOST_TEXT)
    name: str = Field(min_length=1, max_length=255)
