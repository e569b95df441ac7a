"""Signals as documents: those of one item read, and one that does not fit marked."""

from contextlib import suppress
from typing import Final

from worker.item.signals import COLLECTION, FIELDS, REFUSED
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.pool import Pool
from worker.openiap.reader import Reader
from worker.openiap.workitem import JsonObject
from worker.state.retrying import tried

AT_ONCE: Final = 20
ORDER: Final[JsonObject] = {"_created": 1, "_id": 1}


async def signals_for(reader: Reader, item_id: str, name: str, past: list[str]) -> list[JsonObject]:
    """Return the first signals of a name that an item has not seen, in the order of the server.

    Args:
        past: the ids of those that it has.

    Raises:
        OpenIAPError: the server refuses it.
    """
    query: JsonObject = {"item": item_id, "name": name, REFUSED: {"$exists": False}}
    if past:
        query["_id"] = {"$nin": past}
    return await tried(
        lambda: reader.query(COLLECTION, query, FIELDS, ORDER, top=AT_ONCE, about=item_id),
        patience=None,
    )


async def mark_refused(pool: Pool, signal_id: str, why: str) -> None:
    """Say on a signal why it was passed over, so that it is not looked at again; where this user
    may not, its item remembers it alone."""

    async def mark(client: Client) -> None:
        if client.capabilities.conditional_updates:
            change = {"$set": {REFUSED: why}}
            await client.update_document(COLLECTION, {"_id": signal_id}, change)
            return
        for document in await client.query(COLLECTION, {"_id": signal_id}, top=1):
            await client.update_one(COLLECTION, {**document, REFUSED: why})

    with suppress(OpenIAPError):
        await pool.call(mark)
