"""Circuits in OpenIAP: a field of their queue's own document, which only who may update the queue
can write. Errors go through."""

from datetime import datetime
from typing import Final, Literal

from worker.engine.breakers.circuit import (
    BREAKERS,
    FAILURES,
    Circuit,
    circuits_of,
    failures_of,
)
from worker.item.outcome import WAITS
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, DocumentNotFound
from worker.openiap.fields import number, object_of
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

COLLECTION: Final = "mq"
ITEMS: Final = "workitems"

Written = Literal["done", "changed", "denied"]


async def write_circuit(
    client: Client, queue_id: str, name: str, before: int, circuit: Circuit
) -> Written:
    """Write a circuit over the number that it was made of; ``changed`` where there is another by
    now, ``denied`` where this user may not update the queue.

    With the official client what is written between its reading and its writing is overwritten.

    Raises:
        OpenIAPError: the server did not answer, or refuses for another reason.
    """
    if client.capabilities.conditional_updates:
        path = f"{BREAKERS}.{name}"
        condition: JsonObject = {"_id": queue_id, f"{path}.number": before or None}
        change: JsonObject = {"$set": {path: circuit.document()}}
        done = await client.update_document(COLLECTION, condition, change)
        if done.matched:
            return "done"
        found = await client.query(COLLECTION, {"_id": queue_id}, {BREAKERS: 1}, top=1)
        return "denied" if found and _number(found[0], name) == before else "changed"
    found = await client.query(COLLECTION, {"_id": queue_id}, top=1)
    if not found or _number(found[0], name) != before:
        return "changed"
    circuits = {**object_of(found[0].get(BREAKERS)), name: circuit.document()}
    try:
        await client.update_one(COLLECTION, {**found[0], BREAKERS: circuits})
    except (AccessDenied, DocumentNotFound):
        return "denied"
    return "done"


async def count_failure(
    client: Client, queue_id: str, name: str, most: int, at: datetime
) -> JsonObject:
    """Add a failure to those of a circuit, of which the last ``most`` stay, and return what the
    queue's document says of breakers then.

    With the official client one that another adds at the same time may be lost.

    Raises:
        OpenIAPError: the server did not answer, or refuses.
    """
    if client.capabilities.conditional_updates:
        last = {f"{BREAKERS}.{name}.{FAILURES}": {"$each": [iso(at)], "$slice": -most}}
        await client.update_document(COLLECTION, {"_id": queue_id}, {"$push": last})
        found = await client.query(COLLECTION, {"_id": queue_id}, {BREAKERS: 1}, top=1)
        return found[0] if found else {}
    found = await client.query(COLLECTION, {"_id": queue_id}, top=1)
    if not found:
        return {}
    document = found[0]
    times = [*map(iso, failures_of(document, name)), iso(at)][-most:]
    circuits = object_of(document.get(BREAKERS))
    circuits = {**circuits, name: {**object_of(circuits.get(name)), FAILURES: times}}
    document = {**document, BREAKERS: circuits}
    await client.update_one(COLLECTION, document)
    return document


async def times_handed_back(client: Client, item_id: str) -> int:
    """Return how often an item was handed back for a breaker, as it says itself.

    Raises:
        OpenIAPError: it could not be read.
    """
    found = await client.query(ITEMS, {"_id": item_id}, {WAITS: 1}, top=1)
    return number(object_of(found[0].get(WAITS)).get("times")) if found else 0


def _number(document: JsonObject, name: str) -> int:
    circuit = circuits_of(document).get(name)
    return 0 if circuit is None else circuit.number
