"""Contract of the client: work items and their queues."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.openiap.conftest import PASSWORD, USER, Door
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.errors import ItemNotFound, QueueNotFound, RateLimited, Unsupported
from worker.openiap.workitem import Workitem, WorkItemQueue


async def test_what_is_pushed_is_popped(door: Door) -> None:
    await door.queue("q")
    pushed = await door.client.push_workitem(
        "q", {"number": "1", "umlaut": "Zoë \u0000"}, name="first", priority=1
    )
    assert pushed.id
    assert pushed.state == "new"
    popped = await door.client.pop_workitem("q")
    assert popped is not None
    assert (popped.id, popped.name, popped.priority) == (pushed.id, "first", 1)
    assert popped.payload == {"number": "1", "umlaut": "Zoë \u0000"}
    assert (popped.state, popped.wiq, popped.retries) == ("processing", "q", 0)
    assert popped.username
    assert popped.lastrun is not None
    assert abs((datetime.now(UTC) - popped.lastrun).total_seconds()) < 60


async def test_an_empty_queue_gives_none(door: Door) -> None:
    await door.queue("q")
    assert await door.client.pop_workitem("q") is None


async def test_the_lowest_priority_number_comes_first(door: Door) -> None:
    await door.queue("q")
    for priority in (3, 1, 2):
        await door.client.push_workitem("q", {"p": priority}, priority=priority)
    popped = [await door.client.pop_workitem("q") for _ in range(3)]
    assert [item.payload for item in popped if item] == [{"p": 1}, {"p": 2}, {"p": 3}]


async def test_an_item_is_not_due_before_its_nextrun(door: Door) -> None:
    await door.queue("q")
    later = datetime.now(UTC) + timedelta(hours=1)
    pushed = await door.client.push_workitem("q", {}, nextrun=later)
    assert pushed.nextrun is not None
    assert 0 <= (pushed.nextrun - later).total_seconds() < 1 or pushed.nextrun == later
    assert await door.client.pop_workitem("q") is None


async def test_an_outcome_is_written_back(door: Door) -> None:
    await door.queue("q")
    await door.client.push_workitem("q", {"in": 1})
    item = await door.client.pop_workitem("q")
    assert item is not None
    item.state = "successful"
    item.payload = {"in": 1, "out": 2}
    updated = await door.client.update_workitem(item)
    assert updated.state == "successful"
    assert updated.payload == {"in": 1, "out": 2}
    (stored,) = await door.client.query("workitems", {"_id": item.id})
    assert stored["payload"] == {"in": 1, "out": 2}


async def test_a_payload_of_none_keeps_the_stored_one(door: Door) -> None:
    await door.queue("q")
    await door.client.push_workitem("q", {"keep": "me"})
    item = await door.client.pop_workitem("q")
    assert item is not None
    await door.client.update_workitem(Workitem(id=item.id, payload=None, state="successful"))
    (stored,) = await door.client.query("workitems", {"_id": item.id})
    assert stored["payload"] == {"keep": "me"}
    assert stored["state"] == "successful"


async def test_an_application_error_is_retried_until_maxretries(door: Door) -> None:
    await door.queue("q", maxretries=2)
    await door.client.push_workitem("q", {})
    states = []
    for _ in range(2):
        item = await door.client.pop_workitem("q")
        assert item is not None
        item.state, item.errormessage = "retry", 'it said "no"\nand went'
        item.errortype, item.errorsource = "application", "a traceback"
        updated = await door.client.update_workitem(item)
        states.append((updated.state, updated.retries))
    assert states == [("new", 1), ("failed", 1)]
    assert updated.errormessage == 'it said "no"\nand went'
    assert updated.errorsource == "a traceback"


async def test_a_business_error_is_final(door: Door) -> None:
    await door.queue("q")
    await door.client.push_workitem("q", {})
    item = await door.client.pop_workitem("q")
    assert item is not None
    item.state, item.errortype, item.errormessage = "retry", "business", "not like this"
    assert (await door.client.update_workitem(item)).state == "failed"


async def test_ignoremaxretries_reaches_the_server(door: Door) -> None:
    await door.queue("q", maxretries=1)
    await door.client.push_workitem("q", {})
    item = await door.client.pop_workitem("q")
    assert item is not None
    item.state = "retry"
    updated = await door.client.update_workitem(item, ignoremaxretries=True)
    assert (updated.state, updated.retries) == ("new", 1)


async def test_a_nextrun_in_an_update_is_honoured_or_left_out(door: Door) -> None:
    door.server.faults.whole_second_nextrun_is_1970 = True
    await door.queue("q", retrydelay=3600)
    await door.client.push_workitem("q", {})
    item = await door.client.pop_workitem("q")
    assert item is not None
    item.state = "retry"
    item.nextrun = (datetime.now(UTC) + timedelta(seconds=7200)).replace(microsecond=0)
    updated = await door.client.update_workitem(item)
    assert updated.nextrun is not None
    wait = (updated.nextrun - datetime.now(UTC)).total_seconds()
    expected = 7200 if door.client.capabilities.nextrun_on_update else 3600
    assert abs(wait - expected) < 60


async def test_errors_are_typed_and_name_call_and_item(door: Door) -> None:
    with pytest.raises(QueueNotFound) as no_queue:
        await door.client.pop_workitem("missing")
    assert no_queue.value.operation == "pop_workitem"
    with pytest.raises(QueueNotFound):
        await door.client.push_workitem("missing", {})
    with pytest.raises(ItemNotFound) as no_item:
        await door.client.update_workitem(
            Workitem(id="5f7f4f4f4f4f4f4f4f4f4f4f", state="successful")
        )
    assert no_item.value.item_id == "5f7f4f4f4f4f4f4f4f4f4f4f"
    assert no_item.value.operation == "update_workitem"


async def test_a_deleted_item_is_gone(door: Door) -> None:
    await door.queue("q")
    pushed = await door.client.push_workitem("q", {})
    await door.client.delete_workitem(pushed.id)
    assert await door.client.pop_workitem("q") is None
    assert await door.client.count("workitems", {"_id": pushed.id}) == 0


async def test_a_large_payload_travels_whole(door: Door) -> None:
    await door.queue("q")
    text = "x" * 3_000_000
    await door.client.push_workitem("q", {"text": text})
    item = await door.client.pop_workitem("q")
    assert item is not None
    assert item.payload == {"text": text}


async def test_many_calls_at_once_keep_their_answers_apart(door: Door) -> None:
    await door.queue("q")
    pushed = await asyncio.gather(
        *[door.client.push_workitem("q", {"n": n}, name=f"item {n}") for n in range(100)]
    )
    assert [item.name for item in pushed] == [f"item {n}" for n in range(100)]
    assert [item.payload for item in pushed] == [{"n": n} for n in range(100)]
    popped = await asyncio.gather(*[door.client.pop_workitem("q") for _ in range(101)])
    assert sorted(item.payload["n"] for item in popped if item and item.payload) == list(range(100))


async def test_the_rate_limit_is_told_apart(door: Door) -> None:
    options = ServerOptions(users={USER: PASSWORD}, rate_limit=10)
    async with LocalServer(options) as strict:
        url = strict.ws_url if door.transport == "ws" else strict.grpc_url
        client = await door.another(url=url, http_url=strict.http_url)
        with pytest.raises(RateLimited) as caught:
            await asyncio.gather(*[client.count("things") for _ in range(50)])
        assert caught.value.operation == "count"
        assert not caught.value.maybe_done
        assert client.connected
        await client.disconnect()


async def test_bulk_push_works_or_is_unsupported(door: Door) -> None:
    await door.queue("q")
    items = [Workitem(name=str(n), payload={"n": n}) for n in range(3)]
    if not door.client.capabilities.bulk_push:
        with pytest.raises(Unsupported, match="native client"):
            await door.client.push_workitems("q", items)
        return
    pushed = await door.client.push_workitems("q", items)
    assert [item.payload for item in pushed] == [{"n": n} for n in range(3)]


async def test_queues_are_administrated_or_that_is_unsupported(door: Door) -> None:
    if not door.client.capabilities.queue_administration:
        for refused in (
            door.client.add_workitem_queue(WorkItemQueue(name="made")),
            door.client.update_workitem_queue(WorkItemQueue(name="made")),
            door.client.delete_workitem_queue("made"),
        ):
            with pytest.raises(Unsupported, match="native client"):
                await refused
        return
    made = await door.client.add_workitem_queue(WorkItemQueue(name="made", maxretries=5))
    assert (made.name, made.maxretries) == ("made", 5)
    made.maxretries = 7
    assert (await door.client.update_workitem_queue(made)).maxretries == 7
    await door.client.push_workitem("made", {})
    await door.client.delete_workitem_queue("made", purge=True)
    with pytest.raises(QueueNotFound):
        await door.client.pop_workitem("made")
