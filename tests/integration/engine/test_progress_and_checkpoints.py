"""Progress and checkpoints: on the item while it runs, for the next attempt, gone at the end."""

import asyncio
from contextlib import suppress

import pytest
from pydantic import BaseModel

from tests.integration.engine.conftest import create_queue, until_finished, until_idle
from worker import CheckpointError, Item, LostItem, Retry, handler
from worker.item.metadata import KEY, taken_out


class Page(BaseModel):
    number: int
    done: list[str] = []


async def document(client, id: str) -> dict:
    (found,) = await client.query("workitems", {"_id": id})
    return found


async def test_progress_is_seen_while_the_item_runs_and_gone_when_it_succeeds(
    client, start
) -> None:
    at_work, go = asyncio.Event(), asyncio.Event()

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        await item.progress(0.4, "page 3 of 8")
        at_work.set()
        await go.wait()
        return {"ok": True}

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {"a": 1})
    await start(work)
    async with asyncio.timeout(60):
        await at_work.wait()
    during = await document(client, pushed.id)
    assert during["payload"]["a"] == 1
    progress = during["payload"][KEY]["progress"]
    assert (progress["share"], progress["text"]) == (0.4, "page 3 of 8")
    assert (during["state"], during["retries"]) == ("processing", 0)
    before = during["lastrun"]
    go.set()
    (done,) = await until_finished(client, "q")
    assert done["payload"] == {"a": 1, "ok": True}
    assert (done["retries"], done["lastrun"]) == (0, before)


async def test_a_checkpoint_is_given_to_the_next_attempt(client, start) -> None:
    seen: list[object] = []

    @handler("q")
    async def work(page: Page, item: Item) -> dict:
        seen.append(item.checkpointed_as(Page))
        assert KEY not in item.payload
        if item.attempt == 1:
            await item.checkpoint(Page(number=3, done=["a", "b"]))
            await item.checkpoint(Page(number=4, done=["a", "b", "c"]))  # within the throttle
            raise RuntimeError("lost power at page 4")
        if item.attempt == 2:
            raise Retry(reason="not yet")
        return {"pages": item.checkpointed["number"]}

    await create_queue(client, "q")
    await client.push_workitem("q", {"number": 1})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert seen == [None, Page(number=4, done=["a", "b", "c"]), seen[1]]
    assert taken_out(done["payload"])[0] == {"number": 1, "pages": 4}


async def test_a_checkpoint_is_stored_by_itself_for_when_the_worker_dies(client, start) -> None:
    at_work = asyncio.Event()

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        for page in range(5):
            await item.checkpoint({"page": page})
        at_work.set()
        await asyncio.Event().wait()

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await start(work, drain_timeout=0)
    async with asyncio.timeout(60):
        await at_work.wait()
        while (await document(client, pushed.id))["payload"][KEY]["checkpoint"]["page"] != 4:
            await asyncio.sleep(0.02)
    assert (await document(client, pushed.id))["state"] == "processing"


async def test_progress_that_is_refused_for_the_moment_is_written_without_a_further_one(
    client, start, server
) -> None:
    go = asyncio.Event()

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        server.faults.refuse.update(updatedocument=1, updateworkitem=1)
        await item.progress(0.4, "page 3 of 8")
        await go.wait()

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    await start(work)
    async with asyncio.timeout(60):
        while not (await document(client, pushed.id))["payload"].get(KEY, {}).get("progress"):
            await asyncio.sleep(0.02)
    go.set()
    await until_finished(client, "q")


async def test_writes_are_throttled(client, start, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.engine.checkpoints import Checkpoints

    # The first write is made at once; of the others none is due before the end.
    monkeypatch.setattr("worker.engine.checkpoints.INTERVAL", 3600.0)
    real, writes = Checkpoints.write, []

    async def counted(self: Checkpoints, item: Item) -> None:
        writes.append(1)
        await real(self, item)

    monkeypatch.setattr(Checkpoints, "write", counted)

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        for n in range(500):
            await item.progress(n / 500)

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    daemon = await start(work)
    await until_finished(client, "q")
    await until_idle(daemon)
    assert len(writes) == 1


async def test_a_stopped_worker_hands_the_last_checkpoint_on(client, start) -> None:
    at_work = asyncio.Event()

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        with suppress(asyncio.CancelledError):
            for page in range(3):
                await item.checkpoint({"page": page})
            at_work.set()
            await asyncio.Event().wait()
        raise asyncio.CancelledError

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    daemon = await start(work, drain_timeout=0)
    async with asyncio.timeout(60):
        await at_work.wait()
    await daemon.stop()
    found = await document(client, pushed.id)
    assert (found["state"], found["payload"][KEY]["checkpoint"]) == ("new", {"page": 2})


async def test_what_cannot_be_kept_is_refused_in_words(client, start) -> None:
    texts: list[str] = []

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        for state in ({"x": "a" * 20 * 1024 * 1024}, {"f": open}):
            with pytest.raises(CheckpointError) as at:
                await item.checkpoint(state)
            texts.append(str(at.value).replace(item.id, "ID"))
        with pytest.raises(CheckpointError) as at:
            await item.progress(40, "percent")
        texts.append(str(at.value))

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"
    assert texts == [
        "The checkpoint of item ID has 20 MB, more than the 1 MB that is kept in a payload;"
        " attach the data as a file and keep its name.",
        "The checkpoint of item ID: f: a builtin_function_or_method has no JSON form;"
        " write text, a number, list or dict.",
        "progress(40): allowed: 0 to 1, for example 0.4",
    ]


async def test_an_attempt_that_lost_its_item_is_told_and_changes_nothing(client, start) -> None:
    at_work, taken, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @handler("q")
    async def work(payload: dict, item: Item) -> dict:
        at_work.set()
        await taken.wait()
        with pytest.raises(LostItem):
            await item.checkpoint({"page": 9}, now=True)
        told.set()
        return {"late": True}

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {"a": 1})
    daemon = await start(work)
    async with asyncio.timeout(60):
        await at_work.wait()
        found = await document(client, pushed.id)
        # Another worker takes it over and finishes it.
        await client.update_one("workitems", {**found, "state": "successful", "retries": 1})
        taken.set()
        await told.wait()
    await until_idle(daemon)
    assert KEY not in (await document(client, pushed.id))["payload"]
