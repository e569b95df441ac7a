"""What pages look at: asked once for all of a user's, seen soon, and forgotten."""

import asyncio
from dataclasses import replace
from statistics import median
from typing import Any

import pytest

from tests.integration.console.sights import Sight, Stage, asked_of
from worker.console.live import reader as reader_module
from worker.console.live import subjects
from worker.console.live.allowance import Allowance
from worker.console.live.topics import Seen

pytestmark = pytest.mark.dear


def held(seen: Seen[Any], queue: str) -> int:
    """Return how many items are seen to wait in a queue."""
    return seen.value[queue].new if queue in seen.value else 0


async def test_pages_of_a_user_share_one_question_and_see_what_changes(stage: Stage) -> None:
    stage.openiap.queue("orders")
    user = await stage.signed_in()
    reader = stage.readers.of(user.key)
    sights = [Sight() for _ in range(20)]
    asked: list[float] = []
    loop = asyncio.get_running_loop()
    topic = subjects.counts()

    async def ask(services: Any) -> Any:
        asked.append(loop.time())
        return await topic.ask(services)

    counted = replace(topic, ask=ask)
    leaves = [reader.look(counted, sight) for sight in sights]
    await asyncio.gather(*(sight.until(lambda seen: seen.value == {}) for sight in sights))
    assert len(asked) == 1
    await stage.openiap.push("orders")
    await asyncio.gather(*(sight.until(lambda seen: held(seen, "orders") == 1) for sight in sights))
    for leave in leaves:
        leave()


async def test_what_nobody_looks_at_is_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "LINGERS", 0.05)
    user = await stage.signed_in()
    before = len(asyncio.all_tasks())
    sight = Sight()
    leave = stage.readers.of(user.key).look(subjects.counts(), sight)
    await sight.until(lambda seen: seen.value is not None)
    leave()
    leave()
    async with asyncio.timeout(60):
        while len(stage.readers) or len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.02)


async def test_what_nobody_looks_at_is_kept_and_not_asked(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "SPACING", 0.02)
    user = await stage.signed_in()
    reader, topic = stage.readers.of(user.key), subjects.counts()
    reader._allowance = Allowance(every=0.01)
    asked: list[None] = []

    async def ask(services: Any) -> Any:
        asked.append(None)
        return await topic.ask(services)

    eager, sight = replace(topic, ask=ask, every=0.02), Sight()
    leave = reader.look(eager, sight)
    await sight.until(lambda seen: seen.value is not None)
    leave()
    await asyncio.sleep(0.2)  # what was asked before is answered
    before = len(asked)
    await asyncio.sleep(0.6)
    assert len(asked) == before
    again = Sight()
    reader.look(eager, again)
    assert again.seen[0].value == sight.seen[-1].value  # at once, before it is asked anew
    async with asyncio.timeout(60):
        while len(asked) == before:
            await asyncio.sleep(0.02)


async def test_users_are_told_what_they_may_see(stage: Stage) -> None:
    stage.openiap.queue("secret")
    await stage.openiap.push("secret")
    boss, ordinary = await stage.signed_in(), await stage.signed_in(ordinary=True)
    sights = Sight(), Sight()
    for user, sight in zip((boss, ordinary), sights, strict=True):
        stage.readers.of(user.key).look(subjects.counts(), sight)
    seen = [await sight.until(lambda one: one.value is not None) for sight in sights]
    assert "secret" in seen[0].value
    assert seen[1].value == {}


@pytest.mark.dear
async def test_a_server_that_is_away_is_told_and_what_was_seen_stays(stage: Stage) -> None:
    stage.openiap.queue("orders")
    await stage.openiap.push("orders")
    user = await stage.signed_in()
    sight = Sight()
    stage.readers.of(user.key).look(replace(subjects.counts(), every=0.2), sight)
    await sight.until(lambda seen: bool(seen.value))
    restarting = asyncio.create_task(stage.openiap.restart(down=6))
    away = await sight.until(lambda seen: seen.trouble == "away")
    assert away.value["orders"].new == 1
    await restarting
    await sight.until(lambda seen: not seen.trouble)
    await stage.openiap.push("orders")
    await sight.until(lambda seen: held(seen, "orders") == 2)


@pytest.mark.dear
async def test_openiap_is_asked_twice_a_second_at_most_and_changes_are_seen_in_two(
    stage: Stage,
) -> None:
    stage.openiap.queue("orders")
    user = await stage.signed_in()
    reader = stage.readers.of(user.key)
    sight = Sight()
    reader.look(subjects.counts(), sight)
    for topic in (
        subjects.queues(),
        subjects.workers(),
        subjects.hour(),
        subjects.groups(),
        subjects.breakers(),
        subjects.schedules(),
    ):
        reader.look(topic, lambda seen: None)
        await reader.first(topic)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(1.5)  # whatever the opening asked is paid
    before, began, waits = asked_of(stage.openiap), loop.time(), []
    pushed = held(sight.seen[-1], "orders")
    while loop.time() - began < 8:
        await stage.openiap.push("orders")
        pushed += 1
        at = loop.time()
        await sight.until(lambda seen: held(seen, "orders") >= pushed)  # noqa: B023
        waits.append(loop.time() - at)
    took = loop.time() - began
    assert 4 <= asked_of(stage.openiap) - before <= 2 * took + 2
    assert median(waits) < 2.2, "one or another waits for a busy machine"


async def test_a_link_that_was_opened_anew_tells_of_changes_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "LOOKS_FOR_LINK", 0.05)
    stage.openiap.queue("orders")
    user = await stage.signed_in()
    sight = Sight()
    stage.readers.of(user.key).look(replace(subjects.counts(), every=1.0), sight)
    await sight.until(lambda seen: seen.value is not None)
    link = stage.api.links.of(user.key)
    watches = stage.openiap.server.stats["watch"]
    await link.close()  # as when another user needs the room
    async with asyncio.timeout(60):
        while stage.openiap.server.stats["watch"] < watches + 2:
            await asyncio.sleep(0.05)


async def test_where_much_changes_items_are_looked_at_by_the_clock(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "CROWD", 5)
    monkeypatch.setattr(reader_module, "CALMS_IN", 3.0)
    stage.openiap.queue("orders")
    user = await stage.signed_in()
    sight = Sight()
    # By its own clock it would be asked long after all that is waited for here.
    stage.readers.of(user.key).look(replace(subjects.counts(), every=600), sight)
    await sight.until(lambda seen: seen.value is not None)
    async with asyncio.timeout(60):
        while stage.openiap.server.stats.get("watch", 0) < 2:
            await asyncio.sleep(0.05)
    for _ in range(20):
        await stage.openiap.push("orders")
    async with asyncio.timeout(60):
        while not stage.openiap.server.stats.get("unwatch"):
            await asyncio.sleep(0.05)
    await stage.openiap.push("orders")
    await sight.until(lambda seen: held(seen, "orders") == 21)
    async with asyncio.timeout(60):
        while stage.openiap.server.stats["watch"] < 3:
            await asyncio.sleep(0.05)


async def test_who_does_something_waits_for_no_turn_to_see_it(stage: Stage) -> None:
    stage.openiap.queue("orders")
    user = await stage.signed_in()
    reader, sight = stage.readers.of(user.key), Sight()
    reader._allowance = Allowance(every=600.0)
    reader.look(replace(subjects.counts(), every=600.0), sight)
    await sight.until(lambda seen: seen.value == {})
    await stage.openiap.push("orders")
    await sight.until(lambda seen: held(seen, "orders") == 1)  # the next turn is in ten minutes
    await stage.openiap.push("orders")
    async with asyncio.timeout(60):
        while not reader._allowance._soon:
            await asyncio.sleep(0.01)
    reader.changed()
    await sight.until(lambda seen: held(seen, "orders") == 2)


async def test_an_answer_that_is_older_than_what_a_watch_told_is_not_shown(stage: Stage) -> None:
    stage.openiap.queue("orders")
    id = await stage.openiap.push("orders", {"note": "old"})
    user = await stage.signed_in()
    reader, sight = stage.readers.of(user.key), Sight()
    topic, (asked, goes_on) = subjects.item(id).parts[0], (asyncio.Event(), asyncio.Event())
    goes_on.set()

    async def ask(services: Any) -> Any:
        found = await topic.ask(services)
        asked.set()
        await goes_on.wait()
        return found

    reader.look(replace(topic, ask=ask, every=60.0), sight)
    await sight.until(lambda seen: seen.value is not None)
    async with asyncio.timeout(60):
        while stage.openiap.server.stats.get("watch", 0) < 2:
            await asyncio.sleep(0.02)
    goes_on.clear()
    asked.clear()
    reader.changed()
    await asked.wait()
    new = {"$set": {"payload.note": "new"}}
    await stage.openiap.client.update_document("workitems", {"_id": id}, new)
    await sight.until(lambda seen: seen.value["payload"]["note"] == "new")
    asked.clear()
    goes_on.set()
    reader.changed()
    await asked.wait()  # the older answer has come, and it was asked once more
    notes = [seen.value["payload"]["note"] for seen in sight.seen]
    assert "old" not in notes[notes.index("new") :]
