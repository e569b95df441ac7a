"""Items as a query string asks for them, in the words of the command line; pure.

``?queue=orders&state=failed&error=timeout&where=payload.amount>=10&since=2h``
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic import ValidationError as Invalid

from worker.management.errors import ValidationError
from worker.management.items.errors import FilterError
from worker.management.items.filters import filter_of, past_of
from worker.management.items.types import (
    MOST_TEXT,
    ItemFilter,
    ItemsCancelBatchPayload,
    ItemsDeleteBatchPayload,
    ItemsGetPListPayload,
    ItemsMoveBatchPayload,
    ItemsRetryBatchPayload,
    ItemsUpdateBatchPayload,
    SortBy,
    State,
)
from worker.management.paging import FURTHEST, MOST, Direction

MOST_CONDITIONS = 10
Short = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=MOST_TEXT)]


class ItemsAsked(BaseModel):
    """Which items; the names and forms are those of the command line's options."""

    model_config = ConfigDict(extra="forbid")

    queue: Text | None = None
    state: list[State] = Field(default=[], max_length=4)
    group: Annotated[str, Field(max_length=40)] | None = Field(
        default=None, description="The id of a group of errors."
    )
    error: Text | None = Field(
        default=None, description="Text in the error, whatever its capitals."
    )
    error_pattern: Text | None = Field(
        default=None, description="A plain regular expression that the error has."
    )
    error_kind: Literal["business", "application"] | None = None
    error_class: Short | None = None
    error_code: Short | None = None
    name: Text | None = None
    worker: Short | None = Field(
        default=None, description="The worker that failed it last, or the user who works it."
    )
    key: Short | None = Field(default=None, description="The key that it waits for.")
    since: Short | None = Field(
        default=None, description="Changed since then: 2h, or a date and time.", examples=["2h"]
    )
    until: Short | None = Field(default=None, description="Not changed since then.")
    attempts: Short | None = Field(
        default=None, description="Begun attempts: 3, >=3, <3 or 1..3.", examples=[">=3"]
    )
    where: list[Annotated[str, Field(max_length=1_500)]] = Field(
        default=[],
        max_length=MOST_CONDITIONS,
        description="By the payload: payload.customer=acme, payload.amount>=10,"
        " payload.country in DE,FR.",
        examples=[["payload.customer=acme"]],
    )

    def filter(self) -> ItemFilter:
        """Return the filter.

        Raises:
            ValidationError: a part of it is none; the message names it and what is allowed.
        """
        now = datetime.now(UTC)
        typed = {name: getattr(self, name) for name in ItemsAsked.model_fields}
        try:
            return filter_of(typed, lambda name, text: _past(name, text, now))
        except Invalid as error:
            found = error.errors(include_input=False)[0]
            where = ".".join(str(part)[:100] for part in found["loc"])
            raise ValidationError(f"Filter {where}: {found['msg']}.") from None


class ItemsPageAsked(ItemsAsked):
    """Which page of them, in which order."""

    limit: int = Field(default=50, ge=1, le=MOST)
    offset: int = Field(default=0, ge=0, le=FURTHEST)
    sort_by: SortBy = "created"
    sort_direction: Direction = "desc"

    def page(self) -> ItemsGetPListPayload:
        """Return the page for the service. Raises: as ``filter``."""
        return ItemsGetPListPayload(
            filter=self.filter(),
            limit=self.limit,
            offset=self.offset,
            sort_by=self.sort_by,
            sort_direction=self.sort_direction,
        )


class RetryBatch(ItemsRetryBatchPayload):
    """Try items again: at once, at a time, spread over so many seconds from then."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "action": "retry",
                    "filter": {"queue": "orders", "states": ["failed"]},
                    "spread": 600,
                }
            ]
        },
    )

    action: Literal["retry"]


class CancelBatch(ItemsCancelBatchPayload):
    """Have items that wait fail with the code CANCELLED, and those that run be asked to end."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "action": "cancel",
                    "filter": {"queue": "orders", "states": ["new"]},
                    "reason": "the orders are gone",
                }
            ]
        },
    )

    action: Literal["cancel"]


class DeleteBatch(ItemsDeleteBatchPayload):
    """Delete items with their files."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"action": "delete", "filter": {"queue": "orders", "error_code": "GONE"}}]
        },
    )

    action: Literal["delete"]


class MoveBatch(ItemsMoveBatchPayload):
    """Move waiting and failed items to another queue."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"action": "move", "filter": {"queue": "orders"}, "to": "orders-late"}]
        },
    )

    action: Literal["move"]


class UpdateBatch(ItemsUpdateBatchPayload):
    """Change the priority or, by a JSON Merge Patch, the payloads of waiting and failed items."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"action": "update", "filter": {"queue": "orders"}, "priority": 1}]
        },
    )

    action: Literal["update"]


BatchAsked = Annotated[
    RetryBatch | CancelBatch | DeleteBatch | MoveBatch | UpdateBatch,
    Field(discriminator="action"),
]


def _past(part: str, text: str, now: datetime) -> datetime:
    try:
        return past_of(text, now)
    except ValueError as error:
        raise FilterError(part, text, str(error)) from error
