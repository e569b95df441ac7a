"""Sending a signal: a document for an item that has not ended.

1. The item is looked at first: one that is not there, or has ended, would hear nothing.
2. The document has the item's own rights, so whoever works the item can read it.
3. It is inserted under an id that is known before: sent again after a lost answer it is there.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from worker.item.signals import COLLECTION, SignalRefused, checked_name, document_of, signal_id
from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey, ItemNotFound
from worker.openiap.fields import text_of
from worker.openiap.large import LARGE, apart
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject
from worker.state.retrying import tried

SEEN: Final[JsonObject] = {"state": 1, "wiq": 1, "_acl": 1}


Check = Callable[[str, str, Any], None]
"""Refuses a value by its item's queue and its name; see ``Checks.check_signal``."""


async def send_signal(
    client: Client, item_id: str, name: str, text: str, key: str = "", *, check: Check | None = None
) -> str:
    """Tell an item something; returns the signal's id.

    Args:
        text: the value as JSON text.
        key: of signals with the same key, to the same item and name, only the first one counts.

    Raises:
        ItemNotFound: there is no such item, or no rights.
        SignalRefused: it has ended, or the name is none.
        ContractError: ``check`` refuses the value.
        OpenIAPError: it could not be sent.
    """
    checked_name(name)
    id = signal_id(item_id, name, key)
    found = await tried(lambda: client.query("workitems", {"_id": item_id}, SEEN, top=1))
    if not found:
        raise ItemNotFound(
            f"there is no item {item_id}, or this user has no rights on it", operation="signal"
        )
    state = text_of(found[0].get("state"))
    if state in (SUCCESSFUL, FAILED):
        raise SignalRefused(
            f"Item {item_id} is {state}: nobody would hear signal {name!r}; it is not sent"
        )
    queue, acl = text_of(found[0].get("wiq")), found[0].get("_acl")
    if check is not None:
        await apart(len(text) > LARGE, _held, check, queue, name, text)
    document = document_of(id, item_id, name, text, queue=queue, acl=acl)

    async def insert() -> None:
        # It may be there: by this call, whose answer was lost, or by one of the same key.
        with suppress(DuplicateKey):
            await client.insert_one(COLLECTION, document)

    await tried(insert)
    return id


def _held(check: Check, queue: str, name: str, text: str) -> None:
    check(queue, name, json.loads(text))
