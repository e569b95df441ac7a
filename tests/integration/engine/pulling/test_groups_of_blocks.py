"""Blocks push groups and wait for them; what only handlers can is refused with what to do."""

import asyncio
import time
from typing import Any

import pytest

from tests.integration.engine.conftest import DEADLINE, create_queue
from tests.integration.engine.pulling.conftest import QUEUE, both_clients
from worker import GroupProgress, Item, handler, sync
from worker.engine.pulling import block

MEMBERS = [("pages", {"n": n}) for n in range(3)]


@handler("pages", concurrency=4)
async def page(n: int, item: Item) -> int:
    return n + 1


@handler("bindery")
async def bind(payload: dict[str, Any]) -> dict[str, int]:
    return {"pages": len(payload["results"])}


@both_clients
async def test_a_block_pushes_a_group_waits_for_it_and_finds_it_when_it_is_run_again(
    client, settings, producer, push, start
) -> None:
    for queue in ("pages", "bindery"):
        await create_queue(client, queue)
    await push({"book": 1}, retrydelay=0)
    await start(page, bind)
    groups = []
    async with asyncio.timeout(DEADLINE):
        for ends in (False, True):
            async with producer.take(QUEUE) as item:
                group = await item.push_group(MEMBERS, then=bind)
                groups.append((group.id, group.existing))
                item.result = {"pages": (await group.results()).results}
                if not ends:
                    item.fail("again")
            assert item.state == ("successful" if ends else "new")
    assert groups == [(groups[0][0], False), (groups[0][0], True)]
    again = producer.group(group.id)
    assert [member.result async for member in again.members()] == [1, 2, 3]
    assert (await client.query("workitems", {"wiq": QUEUE}))[0]["payload"]["pages"] == [1, 2, 3]
    assert len(await client.query("workitems", {"wiq": "pages"})) == 3
    assert len(await client.query("workitems", {"wiq": "bindery"})) == 1


async def test_a_block_that_blocks_does_the_same_and_a_member_knows_its_group(
    client, settings, push, start
) -> None:
    def work() -> tuple[list[Any], GroupProgress, int | None]:
        with sync.connect(settings) as openiap, openiap.take(QUEUE) as item:
            assert item.group is None
            group = item.push_group([(QUEUE, {"member": True}), *MEMBERS], key="book")
            with openiap.take(QUEUE) as member:
                assert member.payload["member"]
                assert member.group is not None
                of = member.group.progress().of
            found = group.results(timeout=DEADLINE)
            numbers = [one.n for one in group.members()]
            assert numbers == [0, 1, 2, 3]
            return found.results[1:], group.progress(), of

    await create_queue(client, "pages")
    await push({"book": 1})
    await start(page)
    async with asyncio.timeout(DEADLINE):
        results, progress, of = await asyncio.to_thread(work)
    assert (results, progress.done, of) == ([1, 2, 3], 4, 4)


@pytest.mark.parametrize("of_whom", ["the block", "the connection"])
async def test_a_block_that_waits_for_a_group_is_stopped_at_its_timeout(
    client, settings, push, monkeypatch: pytest.MonkeyPatch, of_whom
) -> None:
    monkeypatch.setattr(block, "GRACE", DEADLINE)

    def work() -> None:
        with sync.connect(settings) as openiap, openiap.take(QUEUE, timeout=0.5) as item:
            pushes = item if of_whom == "the block" else openiap
            pushes.push_group([("nobody works it", {})]).results()

    await create_queue(client, "nobody works it")
    await push({})
    began = time.monotonic()
    async with asyncio.timeout(2 * DEADLINE):
        await asyncio.to_thread(work)
    assert time.monotonic() - began < block.GRACE, "it was not given up"
    (found,) = await client.query("workitems", {"wiq": QUEUE})
    assert found["errormessage"] == "its block ran longer than its timeout of 500ms"


async def test_what_only_handlers_can_is_refused_with_what_to_do(producer, push) -> None:
    await push({"n": 1})
    async with producer.take(QUEUE) as item:
        for name in ("step", "step_key", "sleep", "sleep_until", "wait_for"):
            assert not hasattr(item, name)
            with pytest.raises(
                AttributeError, match=rf"item\.{name} is for handlers: .*Write a ha"
            ):
                getattr(item, name)
        with pytest.raises(AttributeError, match="the calls of a taken item wait by themselves"):
            item.wait  # noqa: B018
        with pytest.raises(AttributeError, match="'TakenItem' object has no attribute 'resutl'"):
            item.resutl  # noqa: B018
