"""An item is cancelled: what is asked for, what is answered, and the doing.

What is set on the item is ``worker/item/cancelled.py``'s to say, as for ``pushed.cancel``; here it
is noted on the item's timeline who did it. The note comes after the cancelling and alone: where it
cannot be made the item is cancelled all the same, and says itself why.
"""

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.item.cancelled import MAX_REASON, UNFINISHED
from worker.item.history import Entry, first_line, pushed
from worker.item.masking import masked
from worker.management.items.errors import ItemNotFoundError, ItemStateError
from worker.management.items.store import ItemStore, user_name
from worker.management.items.types import MOST_TEXT
from worker.openiap.errors import ItemNotFound, OpenIAPError
from worker.producer.sender import ClientSender


class CancelAsked(BaseModel):
    """Why an item is cancelled: one sentence, shown on it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "the order is gone"}]}
    )

    reason: str = Field(default="", max_length=MAX_REASON)


class ItemCancelPayload(CancelAsked):
    """An item that is not to be worked, or not to its end."""

    id: str = Field(max_length=MOST_TEXT)


class ItemCancelledResponse(BaseModel):
    """What became of it.

    Attributes:
        result: ``cancelled``: it waited, and has failed; ``stopping``: it runs, and its worker is
            told to end it.
    """

    result: Literal["cancelled", "stopping"]


async def cancel(
    store: ItemStore,
    payload: ItemCancelPayload,
    history: int,
    states: Collection[str] = UNFINISHED,
) -> ItemCancelledResponse:
    """Cancel an item.

    Args:
        history: entries that its timeline keeps.
        states: those in which it is to be cancelled.

    Raises:
        ItemNotFoundError: there is none, or none for this user.
        ItemStateError: it has ended, or is in another state.
        OpenIAPError: the server refuses it.
    """
    id = payload.id
    try:
        result = await ClientSender(store.client).cancel(id, payload.reason, states)
    except ItemNotFound as error:
        raise ItemNotFoundError(id) from error
    if result == "ended":
        found = await store.get_one(id)
        state = str((found or {}).get("state", "")) or "gone"
        raise ItemStateError(f"Item {id} is {state}: nothing is left to cancel.", {"state": state})
    if history > 0 and store.client.capabilities.conditional_updates:
        await _note(store, payload, history)
    return ItemCancelledResponse(result=result)


async def _note(store: ItemStore, payload: ItemCancelPayload, history: int) -> None:
    why = masked(first_line(payload.reason))
    entry = Entry("cancelled", datetime.now(UTC), user_name(store.client), why=why)
    # Who may update the item may not update it as a document, or the link is gone by now: an error
    # would say of what is done that it is not.
    with suppress(OpenIAPError):
        await store.update_if({"_id": payload.id}, pushed(payload.id, entry, history))
