"""What is made of several topics: how it looks by how they do."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.console.live.entries import SHOWN_EVERY, Entry, Join
from worker.console.live.topics import Joined, Seen, Topic, joined
from worker.openiap.types import WatchEvent

AT = datetime(2026, 1, 1, tzinfo=UTC)


def topic(name: str, **more: Any) -> Topic[Any]:
    async def ask(services: object) -> None: ...

    return Topic((name,), ask, **more)


PARTS = (topic("needed"), topic("more"))
PAIR = Joined(("pair",), PARTS, tuple)


def test_it_is_known_once_all_is_that_is_needed() -> None:
    assert joined(PAIR, [Seen(), Seen(2, AT)]) == Seen()
    assert joined(PAIR, [Seen(1, AT), Seen()]) == Seen((1, None), AT)
    later = AT + timedelta(seconds=1)
    assert joined(PAIR, [Seen(1, later), Seen(2, AT)]) == Seen((1, 2), later)


def test_trouble_of_what_is_needed_is_told_and_what_was_seen_stays() -> None:
    away = Seen(1, AT, "away", "OpenIAP is away.")
    assert joined(PAIR, [away, Seen()]) == Seen((1, None), AT, "away", "OpenIAP is away.")
    refused: Seen[Any] = Seen(None, None, "refused", "There is none.")
    assert joined(PAIR, [refused, Seen(2, AT)]) == refused
    assert joined(PAIR, [Seen(1, AT), refused]) == Seen((1, None), AT)


def test_what_cannot_be_made_is_told_and_logged() -> None:
    def fail(parts: object) -> None:
        raise ValueError("broken")

    errors: list[Exception] = []
    join = Join(Joined(("broken",), PARTS[:1], fail), errors.append)
    told: list[Seen[Any]] = []
    join.add(told.append)
    join.begin(lambda part, hear: (hear(Seen(1, AT)), lambda: None)[1])
    assert [one.trouble for one in told] == ["inside"]
    assert [str(one) for one in errors] == ["broken"]


async def test_a_burst_of_changes_is_shown_a_few_times_a_second() -> None:
    entry = Entry(topic("watched", take=lambda event: event.document["n"]))
    told: list[Any] = []
    entry.add(lambda seen: told.append(seen.value))
    began = asyncio.get_running_loop().time()
    for n in range(60):
        entry.hear(WatchEvent("w1", "update", {"n": n}))
        await asyncio.sleep(0.005)
    took = asyncio.get_running_loop().time() - began
    async with asyncio.timeout(60):
        while told[-1] != 59:
            await asyncio.sleep(0.01)
    assert len(told) <= took / SHOWN_EVERY + 2
    assert not entry.changed.is_set()
