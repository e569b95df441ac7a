"""Does a watch on work items tell of anything? A document of our own is written, and its event must
come.

A server takes a path that its JSONPath library then throws on, and answers with a watch that never
tells of anything (server.md, Wake-up). So the document looks like a pushed item to the path, with
the null of one that was never popped; to the queues it is nothing: it has no queue, so no pop can
find it, and no right on a queue is needed for it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from worker.openiap.client import Client
from worker.openiap.errors import DuplicateKey
from worker.openiap.values import iso
from worker.openiap.workitem import NEW, JsonObject

COLLECTION: Final = "workitems"
NEW_ITEMS: Final = "$.*.nextrun"
"""Every item in the state new has this field, and no other has: a pop takes it away.

Not a comparison: OpenIAP runs each in a script engine of its own, for every change and every watch,
a third of a millisecond each time. Eight workers that compared the state cost its server more than
all that the items themselves did.
"""
MARK: Final = "openiap_worker_watch_test"
TAKEN_ITEMS: Final = "$.*.userid"
"""A pop gives an item this field, which tells it from new ones, though not from those that have
ended. Nothing that costs as little does."""


async def write_test_document(client: Client, id: str) -> None:
    """Write the document, and take it away again: the event is of the writing.

    Args:
        id: for each process its own.

    Raises:
        OpenIAPError: this user may not, or the link broke.
    """
    document: JsonObject = {
        "_id": id,
        "_type": MARK,
        "name": MARK,
        "state": NEW,
        "nextrun": iso(datetime.now(UTC)),
        "lastrun": None,
        "payload": {},
        MARK: True,
    }
    try:
        await client.insert_one(COLLECTION, document)
    except DuplicateKey:  # an earlier one, whose link broke before it was taken away
        await client.delete_one(COLLECTION, id)
        await client.insert_one(COLLECTION, document)
    await client.delete_one(COLLECTION, id)


def is_test_document(document: Mapping[str, Any]) -> bool:
    """Return whether an event is about such a document, of whichever worker."""
    return MARK in document
