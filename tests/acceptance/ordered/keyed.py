"""Handlers with keys and rates that note every begin and end in the journal."""

import asyncio
from typing import Any

from tests.acceptance.deeds import JOURNAL
from worker import Item, handler

SINGLE, PAIRS, RATED = "single", "pairs", "rated"
RATE = "10/2s"


def key_of(payload: dict[str, Any]) -> str:
    return str(payload["key"])


async def noted(payload: dict[str, Any], item: Item) -> None:
    """Run for as long as the payload says; whatever ends it is noted, but for a kill.

    ``first`` are the seconds of an item's first attempt alone.
    """
    fields = {"item": item.id, "attempt": item.attempt, "queue": item.queue, "n": payload["n"]}
    JOURNAL.note("start", key=payload.get("key", ""), **fields)
    how = "stopped"
    try:
        first = payload.get("first", payload["seconds"])
        await asyncio.sleep(float(first if item.attempt == 1 else payload["seconds"]))
        how = "end"
    finally:
        JOURNAL.note(how, key=payload.get("key", ""), **fields)


@handler(SINGLE, key=key_of, concurrency=6)
async def single(payload: dict[str, Any], item: Item) -> None:
    """One of a key at a time."""
    await noted(payload, item)


@handler(PAIRS, key=key_of, per_key=2, concurrency=6)
async def pairs(payload: dict[str, Any], item: Item) -> None:
    """Two of a key at a time."""
    await noted(payload, item)


@handler(RATED, rate=RATE, concurrency=4)
async def rated(payload: dict[str, Any], item: Item) -> None:
    """So many in two seconds."""
    await noted(payload, item)
