"""What only the native client can do (README, two columns), over both transports."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.openiap.native.conftest import DEADLINE, Clients
from worker.localserver import LocalServer
from worker.openiap.errors import ItemNotFound, QueueNotFound
from worker.openiap.workitem import Workitem, WorkitemFile, WorkItemQueue


def test_it_says_what_it_can_do(clients: Clients) -> None:
    can = clients.make("ws://127.0.0.1:1").client.capabilities
    assert can.name == "native"
    assert can.conditional_updates
    assert can.nextrun_on_update
    assert can.bulk_push
    assert can.queue_administration
    assert can.lazy_files


async def test_a_retry_carries_its_own_time_in_whole_seconds_too(
    clients: Clients, server: LocalServer, url: str
) -> None:
    server.faults.whole_second_nextrun_is_1970 = True
    client = (await clients.connected(url)).client
    await client.add_workitem_queue(WorkItemQueue(name="q"))
    await client.push_workitem("q", {})
    item = await client.pop_workitem("q")
    assert item is not None
    later = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    item.state, item.nextrun = "retry", later
    updated = await client.update_workitem(item)
    assert (updated.state, updated.retries) == ("new", 1)
    assert updated.nextrun is not None
    assert timedelta(0) <= updated.nextrun - later < timedelta(milliseconds=1)
    assert await client.pop_workitem("q") is None


async def test_ignoremaxretries_gives_another_attempt(clients: Clients, url: str) -> None:
    client = (await clients.connected(url)).client
    await client.add_workitem_queue(WorkItemQueue(name="q", maxretries=1))
    await client.push_workitem("q", {})
    item = await client.pop_workitem("q")
    assert item is not None
    item.state = "retry"
    assert (await client.update_workitem(item, ignoremaxretries=True)).state == "new"
    item = await client.pop_workitem("q")
    assert item is not None
    item.state = "retry"
    assert (await client.update_workitem(item)).state == "failed"


async def test_many_items_are_pushed_in_one_message_and_popped_in_order(
    clients: Clients, server: LocalServer, url: str
) -> None:
    client = (await clients.connected(url)).client
    await client.add_workitem_queue(WorkItemQueue(name="q"))
    items = [Workitem(name=f"item {n}", payload={"n": n}) for n in range(500)]
    pushed = await client.push_workitems("q", items)
    assert [item.payload for item in pushed] == [{"n": n} for n in range(500)]
    assert len({item.id for item in pushed}) == 500
    first, second = await client.pop_workitem("q"), await client.pop_workitem("q")
    assert first is not None
    assert second is not None
    assert (first.name, second.name) == ("item 0", "item 1")


async def test_of_many_items_one_with_stored_files_goes_alone_and_keeps_its_place(
    clients: Clients, server: LocalServer, url: str, tmp_path: Path
) -> None:
    """OpenIAP drops files by id from a bulk push."""
    client = (await clients.connected(url)).client
    await client.add_workitem_queue(WorkItemQueue(name="q"))
    (tmp_path / "a.txt").write_text("scan")
    stored = WorkitemFile("a.txt", await client.upload(tmp_path / "a.txt"))
    items = [Workitem(name=str(n), files=[stored] if n == 1 else []) for n in range(4)]
    pushed = await client.push_workitems("q", items)
    assert [item.name for item in pushed] == ["0", "1", "2", "3"]
    assert [len(item.files) for item in pushed] == [0, 1, 0, 0]
    done = server.stats
    assert (done["pushworkitem"], done["pushworkitems"]) == (1, 2)


async def test_a_bulk_push_to_a_queue_that_is_not_there_is_told(clients: Clients, url: str) -> None:
    client = (await clients.connected(url)).client
    with pytest.raises(QueueNotFound):
        await client.push_workitems("nowhere", [Workitem()])


async def test_of_two_conditional_updates_exactly_one_succeeds(clients: Clients, url: str) -> None:
    owner = (await clients.connected(url)).client
    rescuer = (await clients.connected(url)).client
    await owner.add_workitem_queue(WorkItemQueue(name="q"))
    await owner.push_workitem("q", {})
    item = await owner.pop_workitem("q")
    assert item is not None
    attempt = {"_id": item.id, "state": "processing", "retries": item.retries, "closing": None}
    results = await asyncio.gather(
        *[
            client.update_document("workitems", attempt, {"$set": {"closing": f"token {n}"}})
            for n, client in enumerate((owner, rescuer))
        ]
    )
    assert sorted(result.modified for result in results) == [0, 1]
    assert sorted(result.matched for result in results) == [0, 1]
    (stored,) = await owner.query("workitems", {"_id": item.id})
    assert stored["closing"] in ("token 0", "token 1")
    # An update of the item keeps the field.
    item.state = "successful"
    await owner.update_workitem(item)
    (stored,) = await owner.query("workitems", {"_id": item.id})
    assert stored["state"] == "successful"
    assert "closing" in stored


async def test_queues_are_made_changed_purged_and_deleted(clients: Clients, url: str) -> None:
    client = (await clients.connected(url)).client
    made = await client.add_workitem_queue(
        WorkItemQueue(name="q", maxretries=4, retrydelay=5, initialdelay=0, amqpqueue="wake")
    )
    assert made.id
    assert (made.name, made.maxretries, made.retrydelay, made.amqpqueue) == ("q", 4, 5, "wake")
    made.maxretries = 9
    assert (await client.update_workitem_queue(made)).maxretries == 9
    await client.push_workitem("q", {})
    await client.update_workitem_queue(made, purge=True)
    assert await client.pop_workitem("q") is None
    await client.delete_workitem_queue("q", purge=True)
    with pytest.raises(QueueNotFound):
        await client.push_workitem("q", {})


async def test_a_pop_leaves_the_files_on_the_server_until_they_are_asked_for(
    clients: Clients, server: LocalServer, url: str, tmp_path: Path
) -> None:
    client = (await clients.connected(url)).client
    await client.add_workitem_queue(WorkItemQueue(name="q"))
    source = tmp_path / "scan.pdf"
    source.write_bytes(b"x" * 1000)
    await client.push_workitem("q", {}, files=[source])
    item = await client.pop_workitem("q")
    assert item is not None
    assert [file.path for file in item.files] == [None]
    assert server.stats.get("download", 0) == 0
    path = await client.download(item.files[0].id, tmp_path / "in")
    assert path.read_bytes() == source.read_bytes()


async def test_an_error_names_the_operation_and_the_item(clients: Clients, url: str) -> None:
    client = (await clients.connected(url)).client
    with pytest.raises(ItemNotFound) as caught:
        await client.update_workitem(Workitem(id="5f00000000000000000000ff", state="successful"))
    assert caught.value.operation == "update_workitem"
    assert caught.value.item_id == "5f00000000000000000000ff"


async def test_large_payloads_pass_in_both_directions(clients: Clients, url: str) -> None:
    client = (await clients.connected(url)).client
    await client.add_workitem_queue(WorkItemQueue(name="q"))
    payload = {"text": "x" * 15_000_000}
    async with asyncio.timeout(DEADLINE):
        await client.push_workitem("q", payload)
        item = await client.pop_workitem("q")
    assert item is not None
    assert item.payload == payload


async def test_many_calls_at_once_each_get_their_own_answer(clients: Clients, url: str) -> None:
    client = (await clients.connected(url)).client
    await client.add_workitem_queue(WorkItemQueue(name="q"))
    pushed = await asyncio.gather(*[client.push_workitem("q", {"n": n}) for n in range(300)])
    assert [item.payload for item in pushed] == [{"n": n} for n in range(300)]
    popped = await asyncio.gather(*[client.pop_workitem("q") for _ in range(310)])
    found = [item.id for item in popped if item is not None]
    assert sorted(found) == sorted(item.id for item in pushed)
