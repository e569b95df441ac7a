"""What the server has of a queue: how much waits, how much runs, and since when.

Four small calls without payloads: two counts and, where they are not 0, the oldest of each.
"""

from datetime import datetime
from typing import Final

from worker.engine.maintenance.autoscale import Load
from worker.openiap.client import Client
from worker.openiap.fields import moment_of
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

MOST_CALLS: Final = 4
MOST_OLDEST: Final = 50
"""Waiting items that are looked at for the oldest: those that were put into a queue as documents
are due a little before they were made, and stand before some that are older."""
CALL_TIMEOUT: Final = 5.0
COLLECTION: Final = "workitems"


async def load_of(client: Client, queue: str, *, now: datetime) -> Load:
    """Return a queue's load.

    Args:
        now: the server's time.

    Raises:
        OpenIAPError: the server refused, or did not answer within 5 s.
    """
    # The type goes along: all indexes that OpenIAP itself has of items begin with it.
    of_queue = {"_type": "workitem", "wiq": queue}
    waiting = {**of_queue, "state": "new", "nextrun": {"$lte": iso(now)}}
    running = {**of_queue, "state": "processing"}
    waits = await client.count(COLLECTION, waiting, timeout=CALL_TIMEOUT)
    runs = await client.count(COLLECTION, running, timeout=CALL_TIMEOUT)
    return Load(
        waiting=waits,
        running=runs,
        # The two are asked one after the other: what was counted as none has no age.
        oldest_waiting=await _oldest_waiting(client, waiting, now) if waits else 0.0,
        oldest_running=await _oldest_running(client, running, now) if runs else 0.0,
    )


async def _oldest_waiting(client: Client, query: JsonObject, now: datetime) -> float:
    """Return since how many seconds an item has been due, and there; 0 without one."""
    found = await client.query(
        COLLECTION,
        query,
        {"nextrun": 1, "_created": 1},
        {"nextrun": 1},
        top=MOST_OLDEST,
        timeout=CALL_TIMEOUT,
    )
    since = [
        max(moments)
        for one in found
        if (moments := [m for key in ("nextrun", "_created") if (m := moment_of(one.get(key)))])
    ]
    return max(0.0, (now - min(since)).total_seconds()) if since else 0.0


async def _oldest_running(client: Client, query: JsonObject, now: datetime) -> float:
    """Return how many seconds ago the first of them was popped; 0 without one."""
    first = {"lastrun": 1}
    found = await client.query(COLLECTION, query, first, first, top=1, timeout=CALL_TIMEOUT)
    then = moment_of(found[0].get("lastrun")) if found else None
    return 0.0 if then is None else max(0.0, (now - then).total_seconds())
