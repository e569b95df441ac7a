"""What a change costs OpenIAP that a page shows: the questions that come to it, counted there."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.console.sights import Sight, Stage, asked_of
from worker.console.live import reader as reader_module
from worker.console.live import subjects
from worker.console.live.allowance import Allowance
from worker.console.live.topics import Joined, Topic
from worker.engine.fleet.presence import COLLECTION
from worker.item.metadata import KEY
from worker.item.new_item import PARENT
from worker.management.items.types import ItemFilter, ItemsGetPListPayload
from worker.openiap.values import iso

pytestmark = pytest.mark.dear

STILL = 0.75
"""Seconds without a question after which all is asked."""
WITHIN = 60.0
Page = tuple[Topic[Any] | Joined[Any], ...]


def unclocked(topic: Topic[Any] | Joined[Any]) -> Topic[Any] | Joined[Any]:
    """Return a topic that is not asked by the clock while anything is waited for."""
    if isinstance(topic, Joined):
        return replace(topic, parts=tuple(replace(part, every=600.0) for part in topic.parts))
    return replace(topic, every=600.0)


@dataclass
class Case:
    """A change, and what it may cost.

    Attributes:
        page: what the page looks at, by the id of an item; the change is seen in the first.
        opens: so many questions come as it is opened.
        change: makes the change, by the id of the item.
        shows: whether it is seen.
        seen: so many questions, at most, until it is; costs: in all.
    """

    page: Callable[[str], Page]
    opens: int
    change: Callable[[Stage, str], Awaitable[object]]
    shows: Callable[[Any], bool]
    seen: int
    costs: int


def listed(**filter: Any) -> ItemsGetPListPayload:
    return ItemsGetPListPayload(filter=ItemFilter(**filter), limit=50)


async def edit(stage: Stage, id: str) -> None:
    change = {"$set": {"payload.note": "changed", "priority": 7}}
    await stage.openiap.client.update_document("workitems", {"_id": id}, change)


async def push(stage: Stage, id: str) -> None:
    await stage.openiap.push("orders")


async def follow_up(stage: Stage, id: str) -> None:
    await stage.openiap.client.push_workitem("orders", {KEY: {PARENT: id}}, name="a child")


async def make_queue(stage: Stage, id: str) -> None:
    stage.openiap.queue("made")


async def fail(stage: Stage, id: str) -> None:
    change = {"$set": {"state": "failed", "errormessage": "broken", "errortype": "application"}}
    await stage.openiap.client.update_document("workitems", {"_id": id}, change)


OVERVIEW: Page = (
    subjects.counts(),
    subjects.hour(),
    subjects.groups(),
    subjects.queues_and_workers(),
    subjects.queue_settings(),
    subjects.breakers(),
    subjects.workers(),
)
CASES = {
    "a payload, on its page": Case(
        lambda id: (subjects.item(id), subjects.history(id)),
        opens=3,
        change=edit,
        shows=lambda item: item.payload.get("note") == "changed" and item.priority == 7,
        seen=0,
        costs=1,
    ),
    "an end, on its page": Case(
        lambda id: (subjects.history(id), subjects.item(id)),
        opens=3,
        change=fail,
        shows=lambda history: history.state == "failed",
        seen=0,
        costs=1,
    ),
    "a child, on its parent's page": Case(
        lambda id: (subjects.item(id), subjects.history(id)),
        opens=3,
        change=follow_up,
        shows=lambda item: [one.name for one in item.children] == ["a child"],
        seen=1,
        costs=1,
    ),
    "a queue, on that of queues": Case(
        lambda id: (subjects.queues(),),
        opens=4,
        change=make_queue,
        shows=lambda queues: "made" in [one.name for one in queues],
        seen=1,
        costs=1,
    ),
    "an item, on that of queues": Case(
        lambda id: (subjects.queues(),),
        opens=4,
        change=push,
        shows=lambda queues: queues[0].items.new == 2,
        seen=2,
        costs=2,
    ),
    "an item, on its queue's": Case(
        lambda id: (
            subjects.counts(),
            subjects.hour("orders"),
            subjects.groups(ItemFilter(queue="orders")),
            subjects.queue("orders"),
        ),
        opens=6,  # where no item has failed it is asked whether there is such a queue
        change=push,
        shows=lambda counts: counts["orders"].new == 2,
        seen=2,
        costs=4,
    ),
    "an item, on that of a queue's items": Case(
        lambda id: (subjects.items(listed(queue="orders")), subjects.counts()),
        opens=2,
        change=push,
        shows=lambda page: (len(page.items), page.total) == (2, 2),
        seen=2,
        costs=2,
    ),
    "an item, among those of a priority": Case(
        lambda id: (subjects.items(listed(queue="orders", min_attempts=0)),),
        opens=2,
        change=push,
        shows=lambda page: (len(page.items), page.total) == (2, 2),
        seen=2,
        costs=2,
    ),
    "an item, on the overview": Case(
        lambda id: OVERVIEW,
        opens=5,
        change=push,
        shows=lambda counts: counts["orders"].new == 2,
        seen=2,
        costs=3,
    ),
    "a failed item, on that of errors": Case(
        lambda id: (subjects.groups(),),
        opens=1,
        change=fail,
        shows=lambda groups: [one.message for one in groups] == ["broken"],
        seen=1,
        costs=1,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_a_change_costs_no_more_than_what_is_not_known_of_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setattr(reader_module, "SPACING", 0.05)
    stage.openiap.queue("orders")
    id = await stage.openiap.push("orders", {"n": 1})
    user = await stage.signed_in()
    reader = stage.readers.of(user.key)
    reader._allowance = Allowance(every=0.02)
    await (await reader.services()).workers.get_fleet()  # the server's time is asked once a minute
    page, sight = [unclocked(one) for one in case.page(id)], Sight()
    before = asked_of(stage.openiap)
    for number, topic in enumerate(page):
        reader.look(topic, sight if number == 0 else lambda seen: None)
    await sight.until(lambda seen: seen.at is not None)
    assert await all_asked(stage) - before == case.opens
    before = asked_of(stage.openiap)
    await case.change(stage, id)
    await sight.until(lambda seen: seen.at is not None and case.shows(seen.value))
    assert asked_of(stage.openiap) - before <= case.seen
    assert await all_asked(stage) - before <= case.costs


async def all_asked(stage: Stage) -> int:
    """Wait until the watch stands and nothing more is asked; returns the questions until then."""
    loop = asyncio.get_running_loop()
    last, at = -1, loop.time()
    async with asyncio.timeout(WITHIN):
        while loop.time() - at < STILL or stage.openiap.server.stats.get("watch", 0) < 2:
            if (now := asked_of(stage.openiap)) != last:
                last, at = now, loop.time()
            await asyncio.sleep(0.01)
    return last


async def test_a_worker_costs_one_question_a_look_on_every_page_that_shows_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "SPACING", 0.05)
    now = iso(datetime.now(UTC))
    about = {"_type": "worker", "schema": 1, "host": "h1", "started": now}
    seen = {"at": now, "rounds": 0, "free": {}}
    await stage.openiap.client.insert_one(
        COLLECTION, {"_id": "w1", "name": "w1", **about, "lastseen": seen}
    )
    user = await stage.signed_in(ordinary=True)  # what such a user sees hangs on the queues
    reader = stage.readers.of(user.key)
    await (await reader.services()).workers.get_fleet()
    before, sight = asked_of(stage.openiap), Sight()
    for topic in (
        subjects.worker("w1"),
        subjects.hour_of_worker("w1"),
        subjects.queue_settings(),
        subjects.breakers(),
        subjects.workers(),
    ):
        reader.look(unclocked(topic), sight)
    await all_asked(stage)
    assert asked_of(stage.openiap) - before == 3
