"""Messages, watches, and how clients learn of items."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from tests.conformance.facts import CannotAsk, Differs, Table
from tests.conformance.ground import COLLECTION, FEW, Ground, some
from worker.openiap.types import QueueEvent, WatchEvent

T = TypeVar("T")
TABLE = Table("messages, watches and wake-ups")
fact = TABLE.fact
NEW = "$[?(@.state == 'new')]"
RECURSING = "$.[?(@.state == 'new')]"
ROUNDS = 40.0
"""Seconds for a wake-up: OpenIAP makes a round every 10 s."""


async def come(what: str, got: "asyncio.Queue[T]", seconds: float = FEW) -> T:
    """Return what comes next.

    Raises:
        Differs: nothing does.
    """
    try:
        async with asyncio.timeout(seconds):
            return await got.get()
    except TimeoutError:
        raise Differs(f"{what}: not within {seconds:g} s") from None


def of_queue(name: str, got: "asyncio.Queue[list[str]]") -> Callable[[WatchEvent], None]:
    """Return a callback that keeps the operation and the state of one queue's items."""

    def keep(event: WatchEvent) -> None:
        if event.document.get("wiq") == name:
            got.put_nowait([event.operation, str(event.document.get("state"))])

    return keep


@fact("A message comes to who registered its queue.", {"n": 1})
async def message(on: Ground) -> Any:
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()
    name = await on.client.register_queue(on.name("m"), got.put_nowait)
    await on.client.queue_message({"n": 1}, name)
    data = (await come("the message", got)).data
    await on.client.unregister_queue(name)
    return some(data, "n")


@fact("An answer comes back to who asked.", 2)
async def answer(on: Ground) -> Any:
    name = await on.client.register_queue(on.name("m"), lambda event: {"n": event.data["n"] + 1})
    reply = await on.client.rpc({"n": 1}, name, timeout=FEW)
    await on.client.unregister_queue(name)
    return reply["n"]


@fact("A message to a queue that nobody registered is no error.", None)
async def to_nobody(on: Ground) -> Any:
    return await on.client.queue_message({"n": 1}, on.name("nobody"))


@fact("A message to an exchange comes to every queue on it.", ["one", "two"])
async def exchange(on: Ground) -> Any:
    if on.client.server_config.get("amqp_enabled_exchange") is False:
        raise CannotAsk("exchanges are switched off there (amqp_enabled_exchange)")
    got: asyncio.Queue[str] = asyncio.Queue()
    name = on.name("x")
    await on.client.register_exchange(name, lambda event: got.put_nowait("one"))
    await on.maker.register_exchange(name, lambda event: got.put_nowait("two"))
    if on.maker is on.client:  # a second registration of one client replaces its first
        other = await on.crew.signed_in()
        await other.register_exchange(name, lambda event: got.put_nowait("one"))
    await on.client.queue_message({"n": 1}, exchange_name=name)
    return sorted([await come("the message", got), await come("the second message", got)])


@fact("A watch tells of an insert, an update and a delete in a collection with history.", 3)
async def watch(on: Ground) -> Any:
    got: asyncio.Queue[str] = asyncio.Queue()
    mine = on.name("mine")
    stored = await on.insert(mine=mine, n=0)

    def keep(event: WatchEvent) -> None:
        first = event.document.get("_id") == stored["_id"] and event.operation == "insert"
        ours = event.document.get("mine") == mine or event.document.get("_id") == stored["_id"]
        if ours and not first:  # a server tells of what was a moment before the watch, too
            got.put_nowait(event.operation)

    id = await on.client.watch(COLLECTION, callback=keep)
    await on.insert(mine=mine, n=1)
    first = await come("the insert", got)
    await on.client.update_one(COLLECTION, on.document(_id=stored["_id"], mine=mine, n=2))
    second = await come("the update", got)
    await on.client.delete_one(COLLECTION, stored["_id"])
    third = await come("the delete", got)
    await on.client.unwatch(id)
    return len({first, second, third} & {"insert", "replace", "update", "delete"})


@fact(f"A watch by {NEW} tells of a push at once.", [["insert", "new"], True])
async def watch_new(on: Ground) -> Any:
    queue = await on.queue()
    got: asyncio.Queue[list[str]] = asyncio.Queue()
    id = await on.client.watch("workitems", [NEW], of_queue(queue.name, got))
    await on.push(queue)
    loop = asyncio.get_running_loop()
    pushed = loop.time()
    event = await come("the push", got)
    await on.client.unwatch(id)
    return [event, loop.time() - pushed < 5.0]


@fact(f"A watch by {RECURSING} tells nobody.", "nothing")
async def watch_recursing(on: Ground) -> Any:
    queue = await on.queue()
    got: asyncio.Queue[list[str]] = asyncio.Queue()
    sure: asyncio.Queue[list[str]] = asyncio.Queue()
    id = await on.client.watch("workitems", [RECURSING], of_queue(queue.name, got))
    other = await on.client.watch("workitems", [NEW], of_queue(queue.name, sure))
    await on.push(queue)
    await come("the push, by the right path", sure)
    await asyncio.sleep(1.0)
    for one in (id, other):
        await on.client.unwatch(one)
    return got.get_nowait() if got.qsize() else "nothing"


@fact(
    "A watch tells of a pop as an update, and of an item's update as a replace.",
    [["insert", "new"], ["update", "processing"], ["replace", "successful"]],
)
async def watch_item(on: Ground) -> Any:
    queue = await on.queue()
    got: asyncio.Queue[list[str]] = asyncio.Queue()
    id = await on.client.watch("workitems", callback=of_queue(queue.name, got))
    item = await on.pushed_pop(queue)
    await on.update(item.id, "successful")
    found = [await come(f"event {n}", got) for n in (1, 2, 3)]
    await on.client.unwatch(id)
    return found


@fact("The deletion of an item is told to nobody.", "nothing")
async def watch_deleted(on: Ground) -> Any:
    queue = await on.queue()
    item = await on.push(queue)
    got: asyncio.Queue[str] = asyncio.Queue()

    def keep(event: WatchEvent) -> None:
        if event.operation == "delete" and event.document.get("_id") in (item.id, None):
            got.put_nowait(event.operation)

    id = await on.client.watch("workitems", callback=keep)
    await on.client.delete_workitem(item.id)
    await asyncio.sleep(1.5)
    await on.client.unwatch(id)
    return got.get_nowait() if got.qsize() else "nothing"


@fact(
    "Who registered a queue's message queue is told of due items in rounds, whatever its case.",
    {"wiq": True, "wiqid": True, "packageid": ""},
    seconds=90,
)
async def wake_up(on: Ground) -> Any:
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()
    name = on.name("wake")
    queue = await on.queue(amqpqueue=name.upper())
    await on.client.register_queue(name, got.put_nowait)
    await on.push(queue)
    data = (await come("the wake-up", got, ROUNDS)).data
    await on.client.unregister_queue(name)
    found = {"wiq": data.get("wiq") == queue.name, "wiqid": data.get("wiqid") == queue.id}
    return {**found, "packageid": data.get("packageid")}


@fact("It is told again in each round, to every client.", [2, 2], "native", once=True, seconds=120)
async def wake_up_again(on: Ground) -> Any:
    got: list[asyncio.Queue[QueueEvent]] = [asyncio.Queue(), asyncio.Queue()]
    name = on.name("wake")
    queue = await on.queue(amqpqueue=name)
    other = await on.crew.signed_in()
    await on.client.register_queue(name, got[0].put_nowait)
    await other.register_queue(name, got[1].put_nowait)
    await on.push(queue)
    counted = [0, 0]
    for _ in range(2):
        for number in (0, 1):
            await come(f"a wake-up to client {number + 1}", got[number], ROUNDS)
            counted[number] += 1
    await on.client.unregister_queue(name)
    return counted


@fact("A watch tells of documents that its user may read, and of no others.", ["own"], "second")
async def watch_rights(on: Ground) -> Any:
    second = await on.second()
    mine = on.name("mine")
    got: asyncio.Queue[str] = asyncio.Queue()

    def keep(event: WatchEvent) -> None:
        if event.document.get("mine") == mine:
            got.put_nowait(str(event.document.get("whose")))

    id = await second.watch(COLLECTION, callback=keep)
    await on.insert(mine=mine, whose="theirs")
    await second.insert_one(COLLECTION, on.document(mine=mine, whose="own"))
    found = [await come("the own document", got)]
    await asyncio.sleep(0.5)
    await second.unwatch(id)
    return found + [got.get_nowait() for _ in range(got.qsize())]
