"""``@on_error``: what the worker can tell nobody else, and nothing that stands on an item."""

import asyncio
from typing import Any

from tests.integration.engine.conftest import create_queue, until_finished
from worker import Client, Event, Item, handler, on_error, on_message, on_success
from worker.app.application import Application


async def test_a_hook_is_told_what_stands_on_no_item(client, start) -> None:
    told: list[Event] = []
    inside = asyncio.Event()
    goes_on = asyncio.Event()

    @on_error
    async def note(event: Event) -> None:
        told.append(event)
        raise LookupError("nobody is told of this one")

    @on_success
    def broken(event: Event) -> None:
        raise ValueError("a hook of mine")

    @on_message("letters")
    async def letter(data: dict[str, Any]) -> None:
        raise KeyError("a message of mine")

    @handler("fails")
    async def fails(payload: dict[str, Any], item: Item, openiap: Client) -> None:
        item.log.error("what a handler says is on its item")
        openiap.error("and so is this")
        raise RuntimeError("an item of mine")

    @handler("works")
    async def works(payload: dict[str, Any], item: Item) -> None:
        if payload.get("wait"):
            inside.set()
            await goes_on.wait()

    for queue in ("fails", "works"):
        await create_queue(client, queue, maxretries=1)
    await start(Application.of(note, broken, letter, fails, works))
    await client.push_workitem("fails", {})
    await until_finished(client, "fails")
    assert told == []
    await client.push_workitem("works", {})
    await until_finished(client, "works")
    await client.queue_message({"n": 1}, "letters")
    gone = await client.push_workitem("works", {"wait": True})
    async with asyncio.timeout(60):
        await inside.wait()
        await client.delete_workitem(gone.id)
        goes_on.set()
        while len(told) < 3:
            await asyncio.sleep(0.01)
    about = {event.item_id: event for event in told}
    assert {event.name for event in told} == {"error"}
    texts = sorted(event.message for event in told)
    assert any("a hook of mine" in text for text in texts)
    assert any("letter: message failed: KeyError: 'a message of mine'" in text for text in texts)
    lost = about[gone.id]
    assert (lost.queue, lost.kind) == ("works", "successful")
    assert lost.message.startswith("its outcome (successful) was not taken (gone)")
    assert all(event.worker for event in told)
