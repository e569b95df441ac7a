"""An item is told something: what is asked for, what is answered, and the doing."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from worker.item.push import ContractError
from worker.item.signals import MAX_NAME, SignalRefused, text_of_value
from worker.management.errors import ValidationError
from worker.management.items.errors import ItemNotFoundError, ItemStateError
from worker.management.items.store import ItemStore
from worker.management.items.types import MOST_TEXT
from worker.openiap.errors import ItemNotFound
from worker.openiap.large import apart, is_large
from worker.openiap.workitem import FAILED, SUCCESSFUL
from worker.producer.producer import Checks
from worker.producer.signals import send_signal


class SignalAsked(BaseModel):
    """A signal for an item.

    Attributes:
        name: what the item waits for.
        value: whatever JSON holds, up to 512 KB of it.
        key: of signals with the same key, to the same item and name, only the first one counts.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "approval", "value": {"by": "Ada"}, "key": "1"}]},
    )

    name: str = Field(min_length=1, max_length=MAX_NAME)
    value: Any = None
    key: str = Field(default="", max_length=1_000)


class ItemSignalPayload(SignalAsked):
    """A signal, and the id of the item that it is for."""

    id: str = Field(max_length=MOST_TEXT)


class ItemSignalledResponse(BaseModel):
    """The id of the signal that the item is told by."""

    signal: str


async def signal(
    store: ItemStore, payload: ItemSignalPayload, contracts: Checks | None
) -> ItemSignalledResponse:
    """Tell an item something.

    Args:
        contracts: what values are held to.

    Raises:
        ItemNotFoundError: there is none, or none for this user.
        ItemStateError: it has ended.
        ValidationError: name or value cannot be sent, or the value does not fit a contract.
        OpenIAPError: it was not sent.
    """
    id, name, value = payload.id, payload.name, payload.value
    check = None if contracts is None else contracts.check_signal
    try:
        text = await apart(is_large(value), text_of_value, name, value)
    except SignalRefused as error:
        raise ValidationError(f"{error}.", {"name": name}) from error
    try:
        sent = await send_signal(store.client, id, name, text, payload.key, check=check)
    except ContractError as error:
        raise ValidationError(str(error), {"name": name}) from error
    except ItemNotFound as error:
        raise ItemNotFoundError(id) from error
    except SignalRefused as error:
        found = await store.get_one(id)
        state = str((found or {}).get("state", ""))
        if state in (SUCCESSFUL, FAILED):
            raise ItemStateError(f"{error}.", {"state": state}) from error
        raise ValidationError(f"{error}.", {"name": name}) from error
    return ItemSignalledResponse(signal=sent)
