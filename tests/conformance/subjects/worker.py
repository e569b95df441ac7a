"""The worker itself: real processes that work real items of this server."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from tests.conformance.facts import MINUTE, PROMISED, Probe, Table
from tests.conformance.ground import Ground, some
from tests.conformance.workers import PATIENCE, finished, pause, there, working

TABLE = Table("the worker")
TRIES = 3
"""For what has a second and no longer, whatever else the server is busy with."""
_fact = TABLE.fact


def fact(sentence: str, expected: Any) -> Callable[[Probe], Probe]:
    """Add a fact about the worker, which takes its time."""
    return _fact(sentence, expected, source=PROMISED, seconds=10 * MINUTE, heavy=True)


@fact(
    "It works items: what the handler returns is merged into the payload.",
    {"state": "successful", "retries": 0, "n": 1, "attempt": 1},
)
async def works(on: Ground) -> Any:
    queue = await on.queue()
    item = await on.push(queue, {"n": 1})
    async with working(on, "w", queue):
        done = await finished(on, item.id)
    return {**some(done, "state", "retries"), **some(done["payload"], "n", "attempt")}


@fact(
    "A business error fails an item at once, another error takes all attempts; the item tells it.",
    [["failed", 0, "business", True], ["failed", 1, "application", True]],
)
async def errors(on: Ground) -> Any:
    queue = await on.queue(maxretries=2)
    items = [await on.push(queue, {"do": what}) for what in ("business", "fail")]
    found = []
    async with working(on, "w", queue):
        for item, text in zip(items, ("this item is bad", "this attempt fails"), strict=True):
            done = await finished(on, item.id)
            told = text in str(done.get("errormessage"))
            found.append([done["state"], done["retries"], done["errortype"], told])
    return found


@fact("Retry(after=…) holds: the next attempt comes then and no sooner.", ["successful", 1, True])
async def later(on: Ground) -> Any:
    queue = await on.queue()
    begun = on.folder / "begun"
    item = await on.push(queue, {"do": "later", "after": 4, "begun": str(begun)})
    loop = asyncio.get_running_loop()
    async with working(on, "w", queue):
        await there(on, begun)
        first = loop.time()
        done = await finished(on, item.id)
    return [done["state"], done["retries"], loop.time() - first >= 3.5]


@fact("One run --once works a chain of two queues to its end.", [0, "successful", 1])
async def chain(on: Ground) -> Any:
    last, first = await on.queue("LAST"), await on.queue("FIRST")
    await on.queue_document(first, success_wiq=last.name)
    await on.push(first, {"n": 1})
    async with working(on, "w", first, last, once=True) as worker:
        code = await worker.ended(PATIENCE)
    (copy,) = await on.items(last)
    return [code, copy["state"], copy["payload"].get("n")]


@fact(
    "A handler reads an item's files and attaches others.",
    ["successful", ["in.txt", "out.txt"], "HELLO"],
)
async def files(on: Ground) -> Any:
    queue = await on.queue()
    payload = {"do": "file", "folder": str(on.folder)}
    item = await on.push(queue, payload, files=[on.file("in.txt", b"hello")])
    async with working(on, "w", queue):
        done = await finished(on, item.id)
    ids = {file["filename"]: file["_id"] for file in done["files"]}
    text = ""
    if "out.txt" in ids:
        path = await on.client.download(ids["out.txt"], on.folder, filename="back.txt")
        text = path.read_text()
    return [done["state"], sorted(ids), text]


@fact("An item whose worker is killed is worked by another one.", ["successful", 1, True])
async def killed(on: Ground) -> Any:
    queue = await on.queue()
    begun, until = on.folder / "begun", on.folder / "until"
    item = await on.push(queue, {"begun": str(begun), "until": str(until)})
    async with working(on, "a", queue) as first:
        await there(on, begun)
        await first.kill()
        until.touch()
        async with working(on, "b", queue) as second:
            done = await finished(on, item.id)
    return [done["state"], done["retries"], done["payload"]["by"] == second.id]


@fact("A worker that was frozen does not overwrite its successor's outcome.", ["successful", True])
async def frozen(on: Ground) -> Any:
    queue = await on.queue()
    begun, until = on.folder / "begun", on.folder / "until"
    item = await on.push(queue, {"begun": str(begun), "until": str(until)})
    async with working(on, "a", queue) as first:
        await there(on, begun)
        await pause(2)  # its heartbeat has named the item by then
        first.freeze()
        until.touch()
        async with working(on, "b", queue) as second:
            await finished(on, item.id)
            first.thaw()
            await pause(5)
            done = await on.item(item.id)
    return [done["state"], done["payload"]["by"] == second.id]


@fact(
    "Stopped by SIGTERM it finishes the item in flight, ends with 0, and its presence goes.",
    [0, "successful", 0, 0],
)
async def drained(on: Ground) -> Any:
    queue = await on.queue()
    begun, until = on.folder / "begun", on.folder / "until"
    item = await on.push(queue, {"begun": str(begun), "until": str(until)})
    async with working(on, "w", queue) as worker:
        await there(on, begun)
        worker.terminate()
        await pause(1)
        until.touch()
        code = await worker.ended(PATIENCE)
        done = await on.item(item.id)
        living = {"_id": worker.id, "_type": "worker"}  # for an hour it tells that it is gone
        present = await on.maker.count("openiap_workers", living)
    return [code, done["state"], done["retries"], present]


@fact("What does not finish in time is handed back and costs no attempt.", ["new", 0, True])
async def handed_back(on: Ground) -> Any:
    found: list[Any] = []
    for number in range(TRIES):
        queue = await on.queue(f"Q{number}")
        begun, never = on.folder / f"begun{number}", on.folder / "never"
        item = await on.push(queue, {"begun": str(begun), "until": str(never)})
        stops = {"drain_timeout": 1, "cancel_timeout": 1}
        async with working(on, f"w{number}", queue, **stops) as worker:
            await there(on, begun)
            worker.signal(signal.SIGTERM)
            await worker.ended(PATIENCE)
        done = await on.item(item.id)
        again = await on.client.pop_workitem(queue.name)
        found = [done["state"], done["retries"], again is not None and again.id == item.id]
        if done["state"] != "processing":
            break  # else the server was too slow for the last second; its next life would do it
    return found


@fact(
    "An idle worker starts a pushed item long before its poll.",
    ["successful", True],
)
async def woken(on: Ground) -> Any:
    queue = await on.queue()
    loop = asyncio.get_running_loop()
    async with working(on, "w", queue, poll_interval=300):
        first = await on.push(queue, {})
        await finished(on, first.id)
        await pause(4)  # what it promises itself of the watch is tried by then
        begun = on.folder / "begun"
        item = await on.push(queue, {"begun": str(begun)})
        pushed = loop.time()
        await there(on, begun)
        took = loop.time() - pushed
        done = await finished(on, item.id)
    return [done["state"], took < 20]
