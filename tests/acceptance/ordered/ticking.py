"""A handler with two schedules; each item says which tick it is."""

from datetime import datetime
from typing import Any, Final

from worker import handler, schedule

QUEUE: Final = "ticks"
EVERY: Final = {"second": 1, "other": 2}
"""Seconds between two ticks, by schedule."""


def tick(moment: datetime) -> dict[str, Any]:
    """Return a payload that names the tick."""
    return {"tick": int(moment.timestamp())}


@schedule("* * * * * *", name="second", payload=tick, missed="all")
@schedule("*/2 * * * * *", name="other", payload=tick, tz="Europe/Copenhagen")
@handler(QUEUE)
async def ticks(payload: dict[str, Any]) -> None:
    """Do nothing."""
