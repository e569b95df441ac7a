"""Unique pushes: one item per key, whoever pushes at the same instant and whatever dies."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.state.conftest import PASSWORD, USER, MakeClient
from worker import in_namespace
from worker.item.metadata import taken_out
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.values import parse_iso
from worker.openiap.workitem import NEW, SUCCESSFUL, Workitem
from worker.producer.producer import Producer
from worker.producer.pushed import Pushed
from worker.producer.sender import ClientSender
from worker.state.cells import COLLECTION

QUEUE = {"_type": "workitemqueue", "maxretries": 3, "retrydelay": 0, "initialdelay": 0}
ROUNDS = 15


@pytest.fixture
async def clock() -> list[float]:
    return [datetime.now(UTC).timestamp()]


@pytest.fixture
async def server(clock: list[float]) -> AsyncIterator[LocalServer]:
    """A server whose time the test moves."""
    options = ServerOptions(users={USER: PASSWORD}, clock=lambda: clock[0])
    async with LocalServer(options) as running:
        yield running


@pytest.fixture
async def client(make: MakeClient) -> Client:
    found = await make()
    await found.insert_one("mq", {**QUEUE, "name": "q"})
    return found


@pytest.fixture
def producer(client: Client) -> Producer:
    return Producer(ClientSender(client))


async def items(client: Client, queue: str = "q") -> list[dict[str, Any]]:
    return await client.query("workitems", {"wiq": queue}, orderby={"_id": 1}, top=500)


async def finish(client: Client, pushed: Pushed[Any]) -> None:
    """Pop the item and end it."""
    popped = await client.pop_workitem(pushed.queue)
    assert popped is not None
    assert popped.id == pushed.id
    popped.state = SUCCESSFUL
    await client.update_workitem(popped)


async def test_a_second_push_returns_the_item_until_it_is_finished(
    client: Client, producer: Producer
) -> None:
    first = await producer.push("q", {"n": 1}, unique="invoice-4711", priority=3, name="seven")
    assert (first.existing, first.updated) == (False, False)
    second = await producer.push("q", {"n": 2}, unique="invoice-4711")
    assert (second.id, second.existing) == (first.id, True)
    other = await producer.push("q", {"n": 3}, unique="invoice-4712", delay="1h")
    assert not other.existing
    stored = {one["_id"]: one for one in await items(client)}
    assert set(stored) == {first.id, other.id}
    assert stored[first.id]["payload"] == {"n": 1}
    assert (stored[first.id]["priority"], stored[first.id]["name"]) == (3, "seven")

    await finish(client, first)
    third = await producer.push("q", {"n": 4}, unique="invoice-4711")
    assert not third.existing
    assert third.id != first.id


async def test_a_running_item_and_a_retried_one_keep_the_key(
    client: Client, producer: Producer
) -> None:
    first = await producer.push("q", {"n": 1}, unique="a")
    popped = await client.pop_workitem("q")
    assert popped is not None
    running = await producer.push("q", {"n": 2}, unique="a", unique_update=True)
    assert (running.id, running.existing, running.updated) == (first.id, True, False)
    popped.state = "retry"
    popped.errormessage, popped.errortype = "later", "application"
    await client.update_workitem(popped)
    assert (await producer.push("q", {"n": 2}, unique="a")).id == first.id
    (stored,) = await items(client)
    assert stored["payload"] == {"n": 1}


async def test_pushes_at_the_same_instant_make_one_item(client: Client, make: MakeClient) -> None:
    producers = [
        Producer(ClientSender(one)) for one in (client, await make("native"), await make())
    ]
    for number in range(ROUNDS):
        pushed = await asyncio.gather(
            *(p.push("q", {"by": n}, unique=f"k{number}") for n, p in enumerate(producers * 2))
        )
        assert len({one.id for one in pushed}) == 1
        assert [one.existing for one in pushed].count(False) == 1
    assert len(await items(client)) == ROUNDS


async def test_after_the_end_one_of_many_makes_the_next_item(
    client: Client, make: MakeClient
) -> None:
    producers = [Producer(ClientSender(one)) for one in (client, await make("native"))]
    first = await producers[0].push("q", {}, unique="a")
    for number in range(1, 6):
        await finish(client, first)
        pushed = await asyncio.gather(*(p.push("q", {}, unique="a") for p in producers * 3))
        assert {one.id for one in pushed} != {first.id}
        assert [one.existing for one in pushed].count(False) == 1
        (first,) = [one for one in pushed if not one.existing]
        assert len(await items(client)) == number + 1


async def test_a_pusher_that_died_after_the_cell_is_helped_with_the_same_id(
    client: Client, producer: Producer, make: MakeClient
) -> None:
    first = await producer.push("q", {"n": 1}, unique="a")
    await client.delete_workitem(first.id)  # as if its pusher had not come so far; or by hand
    others = [Producer(ClientSender(await make("native"))), producer]
    pushed = await asyncio.gather(*(p.push("q", {"n": 2}, unique="a") for p in others * 2))
    assert {one.id for one in pushed} == {first.id}
    assert [one.existing for one in pushed].count(False) == 1
    (stored,) = await items(client)
    assert (stored["_id"], stored["payload"]) == (first.id, {"n": 2})


async def test_a_pusher_killed_between_cell_and_item_is_helped_by_the_next(
    client: Client, process, server: LocalServer
) -> None:
    dying, other = await process(), await process("native")
    server.faults.lose_replies["insertone"] = 1
    dying.tell("push k 1")
    async with asyncio.timeout(60):
        while not (cells := await client.query(COLLECTION, {"kind": "unique"})):
            await asyncio.sleep(0.01)
    await dying.end()
    assert await items(client) == []
    id = cells[0]["content"]["item"]
    assert await other.ask("push k 1") == [[id, False]]
    assert await other.ask("push k 1") == [[id, True]]
    assert [one["_id"] for one in await items(client)] == [id]


async def test_two_processes_that_push_the_same_keys_make_one_item_of_each(
    client: Client, process
) -> None:
    two = [await process(), await process("native")]
    for one in two:
        one.tell("push k 20")
    first, second = [await one.answer() for one in two]
    assert [id for id, _ in first] == [id for id, _ in second]
    assert [a != b for (_, a), (_, b) in zip(first, second, strict=True)] == [True] * 20
    assert len(await items(client)) == 20


class Impatient:
    """A client that waits no longer than half a second for the reply to an insertion.

    Only that is tried again as often as it needs; a query that gives up so soon ends the push.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def insert_one(self, *args: Any, **options: Any) -> Any:
        return await self._client.insert_one(*args, **{**options, "timeout": 0.5})


async def test_lost_answers_make_no_second_item(make: MakeClient, server: LocalServer) -> None:
    client = await make()
    await client.insert_one("mq", {**QUEUE, "name": "q"})
    impatient: Any = Impatient(client)
    producer = Producer(ClientSender(impatient))
    for number in range(4):
        server.faults.lose_replies["insertone"] = number
        await producer.push("q", {}, unique=f"k{number}")
        assert len(await items(client)) == number + 1


async def test_the_key_is_held_after_the_end_by_the_server_s_clock(
    client: Client, clock: list[float]
) -> None:
    async def push(**options: Any) -> Pushed[Any]:
        # A producer of its own each time: what one knows of the server's time is a minute old.
        return await Producer(ClientSender(client)).push("q", {}, unique="a", **options)

    first = await push(unique_for="24h")
    await finish(client, first)
    clock[0] += 23 * 3600
    assert (await push()).id == first.id
    clock[0] += 2 * 3600
    assert (await push()).id != first.id


async def test_a_waiting_item_takes_payload_priority_and_the_earlier_time(
    client: Client, clock: list[float], producer: Producer
) -> None:
    def due(minutes: float) -> datetime:
        return datetime.fromtimestamp(clock[0], UTC) + timedelta(minutes=minutes)

    first = await producer.push("q", {"n": 1}, unique="a", at=due(60), priority=3)
    again = await producer.push(
        "q", {"n": 2}, unique="a", unique_update=True, at=due(30), priority=2
    )
    assert (again.id, again.existing, again.updated) == (first.id, True, True)
    (stored,) = await items(client)
    assert (taken_out(stored["payload"])[0], stored["priority"], stored["state"]) == (
        {"n": 2},
        2,
        NEW,
    )
    assert abs((parse_iso(stored["nextrun"]) - due(30)).total_seconds()) < 2

    later = await producer.push(
        "q", {"n": 3}, unique="a", unique_update=True, at=due(90), priority=9
    )
    assert later.updated
    (stored,) = await items(client)
    assert (taken_out(stored["payload"])[0], stored["priority"]) == ({"n": 3}, 2)
    assert abs((parse_iso(stored["nextrun"]) - due(30)).total_seconds()) < 2

    now = await producer.push("q", {"n": 4}, unique="a", unique_update=True)
    assert now.updated
    popped = await client.pop_workitem("q")
    assert popped is not None
    assert (popped.id, popped.payload, popped.retries) == (first.id, {"n": 4}, 0)


async def test_an_update_never_puts_a_popped_item_back(client: Client, make: MakeClient) -> None:
    other = await make("native")
    for number in range(ROUNDS):
        producer = Producer(ClientSender(client))
        pushed = await producer.push("q", {"n": 1}, unique=f"k{number}")
        popped, update = await asyncio.gather(
            other.pop_workitem("q"),
            producer.push("q", {"n": 2}, unique=f"k{number}", unique_update=True),
        )
        assert isinstance(popped, Workitem)
        assert update.id == pushed.id
        (stored,) = await client.query("workitems", {"_id": pushed.id})
        assert stored["state"] == "processing"
        if popped.payload == {"n": 2}:
            assert update.updated


async def test_without_the_rights_to_write_items_it_is_pushed_with_its_id_in_the_metadata(
    client: Client, producer: Producer, server: LocalServer
) -> None:
    server.faults.refuse_collections.add("workitems")
    first = await producer.push("q", {"n": 1}, unique="a")
    assert not first.existing
    second = await producer.push("q", {"n": 2}, unique="a")
    assert (second.id, second.existing) == (first.id, True)
    await finish(client, first)
    assert (await producer.push("q", {"n": 3}, unique="a")).id != first.id
    assert len(await items(client)) == 2


async def test_queues_and_namespaces_have_keys_of_their_own(client: Client) -> None:
    for name in ("r", "a/b", "a"):
        await client.insert_one("mq", {**QUEUE, "name": name})
    here, there = (Producer(ClientSender(client, namespace)) for namespace in ("test", "live"))
    pushed = [
        await here.push("q", {}, unique="k"),
        await here.push("r", {}, unique="k"),
        await there.push("q", {}, unique="k"),
        await here.push("a/b", {}, unique="c"),
        await here.push("a", {}, unique="b/c"),
    ]
    assert len({one.id for one in pushed}) == 5


async def test_a_key_belongs_to_its_namespace(client: Client, producer: Producer) -> None:
    await client.insert_one("mq", {**QUEUE, "name": "q/acme"})
    first = await producer.push("q", {"of": "acme"}, unique="k", namespace="acme")
    with in_namespace("globex"):
        other = await producer.push("q", {"of": "globex"}, unique="k")
    nobodys = await producer.push("q", {}, unique="k")
    odd = [
        await producer.push("q/acme", {}, unique="k"),
        await producer.push("q", {}, unique="k", namespace="2Facme"),
        await producer.push("q", {}, unique="k", namespace="acme/k"),
    ]
    assert len({one.id for one in (first, other, nobodys, *odd)}) == 6
    with in_namespace("acme"):
        again = await producer.push("q", {"of": "acme"}, unique="k")
    assert (again.id, again.existing) == (first.id, True)
    # Without a namespace a key is stored as older versions store and look for it.
    assert (await producer.push("q", {}, unique="k")).id == nobodys.id
    cells = await client.query(COLLECTION, {"kind": "unique"})
    assert {"q/k", "q%%acme/k"} <= {one["name"] for one in cells}


async def test_a_key_that_is_held_while_waiting_is_free_once_its_item_runs(
    client: Client, producer: Producer
) -> None:
    first = await producer.push("q", {"n": 1}, unique="k", unique_while="waiting")
    second = await producer.push("q", {"n": 2}, unique="k", unique_while="waiting")
    assert (second.id, second.existing) == (first.id, True)
    popped = await client.pop_workitem("q")
    assert popped is not None
    whole = await producer.push("q", {"n": 3}, unique="k")
    assert (whole.id, whole.existing) == (first.id, True)
    third, fourth = await asyncio.gather(
        producer.push("q", {"n": 4}, unique="k", unique_while="waiting"),
        producer.push("q", {"n": 4}, unique="k", unique_while="waiting", unique_update=True),
    )
    assert third.id == fourth.id != first.id
    assert sorted((third.existing, fourth.existing)) == [False, True]
    popped.state = SUCCESSFUL
    await client.update_workitem(popped)
    last = await producer.push("q", {"n": 5}, unique="k", unique_while="waiting")
    assert last.id == third.id


async def test_the_queue_s_initial_delay_counts(client: Client, producer: Producer) -> None:
    await client.insert_one("mq", {**QUEUE, "name": "slow", "initialdelay": 600})
    await producer.push("slow", {}, unique="a")
    assert await client.pop_workitem("slow") is None


async def test_a_free_key_costs_two_messages(client: Client, producer: Producer) -> None:
    calls: list[str] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            found = getattr(client, name)
            if callable(found) and name != "capabilities":
                calls.append(name)
            return found

    counting: Any = Counting()
    counted = Producer(ClientSender(counting))
    await counted.push("q", {}, unique="a")  # looks the queue up, too
    calls.clear()
    await counted.push("q", {}, unique="b")
    assert calls == ["insert_one", "insert_one"]
    cells = await client.query(COLLECTION, {"kind": "unique"})
    assert sorted(one["name"] for one in cells) == ["q/a", "q/b"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"unique": ""}, 'unique: "" is empty; allowed: text of 1 to 1,000 bytes'),
        (
            {"unique": "x" * 5000},
            f"unique: '{'x' * 40}'… has 5,000 bytes; allowed: text of 1 to 1,000 bytes",
        ),
        (
            {"unique": "a", "unique_for": -1},
            "push: unique_for: -1 is not a duration: seconds, or text like 250ms, 90s, 5m, 1h30m,"
            " 2d, not negative",
        ),
        ({"unique_for": "1h"}, "push: unique_for needs unique"),
        ({"unique_update": True}, "push: unique_update needs unique"),
        ({"unique_while": "waiting"}, "push: unique_while needs unique"),
        (
            {"unique": "a", "unique_while": "running"},
            "push: unique_while = 'running'; allowed: 'unfinished', 'waiting'",
        ),
        (
            {"unique": "a", "files": ["scan.pdf"]},
            "push: unique and files do not go together; let the payload name what the handler"
            " fetches",
        ),
    ],
)
async def test_what_cannot_be_unique_is_refused(options: dict[str, Any], text: str) -> None:
    unused: Any = None
    with pytest.raises(ValueError) as refused:
        await Producer(unused).push("q", {}, **options)
    assert str(refused.value) == text
