"""Under the server's rate limit the worker uses what there is, and loses nothing.

How much it uses is judged by its best seconds: a machine that halts takes nothing from those. The
limit is low, so that it is what holds the worker back, also on a machine that is busy with others.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.results import table, write_section
from tests.acceptance.under_limit import worked_under

LIMIT = 12
MESSAGES = 2
"""A pop and an update for each item."""
ALLOWED = LIMIT / MESSAGES
"""Items per second and connection."""
ITEMS = 120
ITEMS_OF_FOUR = 400
WINDOW = 8.0
"""Seconds; each takes twenty, so that a halt in the middle leaves room for it on either side."""
DONE: dict[str, tuple[float, float]] = {}


def best_rate(moments: Sequence[datetime]) -> float:
    """Return the outcomes per second in the best window."""
    stamps = sorted(moment.timestamp() for moment in moments)
    first, most = 0, 0
    for last, stamp in enumerate(stamps):
        while stamp - stamps[first] >= WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most / WINDOW


async def rate_of(items: int, connections: int, client: str, folder: Path) -> float:
    """Work that many items, and return how many per second at best."""
    documents = await worked_under(
        LIMIT, items, connections=connections, rate_limit=10, client=client, folder=folder
    )
    return best_rate([datetime.fromisoformat(one["_modified"]) for one in documents])


@pytest.mark.dear
@both_clients
async def test_the_limit_is_used_up_and_connections_multiply_it(
    client: str, tmp_path: Path
) -> None:
    one, four = await asyncio.gather(
        rate_of(ITEMS, 1, client, tmp_path / "one"),
        rate_of(ITEMS_OF_FOUR, 4, client, tmp_path / "four"),
    )
    DONE[client] = (one, four)
    if len(DONE) == 2:
        rows: list[list[object]] = [
            [name, f"{ALLOWED:.1f}", f"{a:.1f}", f"{b:.1f}", f"{b / a:.1f}"]
            for name, (a, b) in sorted(DONE.items())
        ]
        head = [
            "client",
            "limit allows for, items/s",
            "1 connection, items/s",
            "4 connections, items/s",
            "times as fast",
        ]
        write_section("Rate limit", table(head, rows))
    assert one >= ALLOWED * 0.85
    assert four >= ALLOWED * 2.1, "more than two connections could"


def test_the_best_rate_is_that_of_the_best_seconds() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    quick = [start + timedelta(seconds=20 + n / 4) for n in range(60)]
    assert best_rate([start, *quick, start + timedelta(seconds=60)]) == 4.0
