"""What the process of a generation answers: lines that its parent reads whole, whatever is made."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from worker import handler, schedule
from worker.app.registry import Registry
from worker.cli.dev import child
from worker.cli.dev.child_process import LONGEST_LINE, _lines
from worker.engine.scheduler.timetable import timetable

LONG = "-" * (LONGEST_LINE + 1)


class OddError(Exception):
    """Says more than anybody reads."""

    def __str__(self) -> str:
        return LONG


def fails() -> dict[str, Any]:
    raise OddError


async def answered(payload: Any) -> list[Mapping[str, Any]]:
    """Return what comes to the parent of what a schedule makes, and of a word after it."""

    @schedule("0 3 1 1 *", name="nightly", payload=payload)
    @handler("tasks")
    async def work(payload: dict[str, Any]) -> None: ...

    now = datetime.now(UTC)
    schedules = {entry.key: entry for entry in timetable(Registry([work]), now)}
    order = {"number": 1, "key": ["tasks", "nightly"], "tick": now.isoformat()}
    pipe = asyncio.StreamReader()

    def answer(told: Mapping[str, Any]) -> None:
        pipe.feed_data(json.dumps(told).encode() + b"\n")

    await child._make(schedules, order, answer)
    answer({"answer": "quiet"})
    pipe.feed_eof()
    return [json.loads(line) async for line in _lines(pipe)]


async def test_payload_and_name_come_to_the_parent() -> None:
    made, _ = await answered(lambda: {"told": "one"})
    assert (made["payload"]["told"], made["name"], made["number"]) == ("one", "nightly", 1)


@pytest.mark.parametrize(
    ("payload", "why"),
    [(lambda: {"long": LONG}, child.TOO_LARGE), (fails, "OddError: ---")],
)
async def test_what_is_too_long_for_a_line_is_told_in_a_short_one(payload: Any, why: str) -> None:
    made, after = await answered(payload)
    assert made["error"].startswith(why)
    assert after == {"answer": "quiet"}
