"""A handler with the schedules that ``ordered_schedules`` measures; the environment says which."""

import os
from datetime import datetime
from typing import Any, Final

from worker import handler, schedule

COUNT: Final = 200
QUEUE: Final = "timetable"
KINDS: Final = {
    "none": lambda n: "",
    "yearly": lambda n: f"0 0 {n % 28 + 1} 1 *",
    "spread": lambda n: f"{n % 60} * * * * *",
    "together": lambda n: "*/20 * * * * *",
}


def at(tick: datetime) -> dict[str, float]:
    """Return a payload that says when its tick was."""
    return {"at": tick.timestamp()}


@handler(QUEUE)
async def timetable(payload: dict[str, Any]) -> None:
    """Do nothing."""


for number in range(COUNT):
    expression = KINDS[os.environ.get("BENCH_SCHEDULES", "none")](number)
    if expression:
        schedule(expression, name=f"s{number}", payload=at)(timetable)
