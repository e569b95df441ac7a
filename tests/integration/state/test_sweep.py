"""The sweep deletes what shared state leaves behind, and nothing that anybody uses."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.state.conftest import PASSWORD, USER
from worker import Group, State
from worker.engine.maintenance.sweep import EVERY, FIRST, Sweep
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.workitem import SUCCESSFUL
from worker.producer.producer import Producer
from worker.producer.sender import ClientSender
from worker.state.cells import COLLECTION, KEPT, Cells
from worker.telemetry.log import Log

QUEUE = {"_type": "workitemqueue", "maxretries": 3, "retrydelay": 0, "initialdelay": 0}


class Fleet:
    """A fleet in which this worker has a rank."""

    def __init__(self, rank: int | None = 0) -> None:
        self._rank = rank
        self.asked = 0

    def server_now(self) -> datetime:
        return datetime.now(UTC)

    def rank(self, queue: str) -> int | None:
        self.asked += 1
        return self._rank

    async def peers(self) -> Sequence[object]:
        return []


@pytest.fixture
async def clock() -> list[float]:
    return [datetime.now(UTC).timestamp()]


@pytest.fixture
async def server(clock: list[float]) -> AsyncIterator[LocalServer]:
    options = ServerOptions(users={USER: PASSWORD}, clock=lambda: clock[0])
    async with LocalServer(options) as running:
        yield running


def make_sweep(client: Client, fleet: Fleet | None = None, **pauses: float) -> Sweep:
    return Sweep(
        ["q"],
        client=client,
        fleet=fleet or Fleet(),
        namespace="test",
        log=Log("warn"),
        chance=random.Random(1),
        **pauses,
    )


async def names(client: Client) -> list[str]:
    found = await client.query(COLLECTION, {"_type": "cell"}, {"_id": 1}, {"_id": 1}, top=500)
    return [str(one["_id"]).replace("#000000000", "#") for one in found]


async def test_superseded_versions_go_when_they_are_old(client: Client, clock: list[float]) -> None:
    counter = State(client, "test").counter("n")
    for _ in range(5):
        await counter.add()
    other = State(client, "live").counter("n")
    for _ in range(3):
        await other.add()
    assert await make_sweep(client).sweep() == 0, "they are not old"
    clock[0] += KEPT + 60
    assert await make_sweep(client).sweep() == 3
    assert await names(client) == [
        *("live/counter/n#1", "live/counter/n#2", "live/counter/n#3"),
        *("test/counter/n#1", "test/counter/n#5"),
    ]
    assert await State(client, "test").counter("n").add() == 6
    assert await counter.add() == 7


async def test_removed_cells_go_and_those_used_since_stay(
    client: Client, clock: list[float]
) -> None:
    cells = Cells(client, "test")
    for name in ("gone", "again", "held"):
        made = await cells.create("key", name, {})
        assert made is not None
        if name != "held":
            assert await cells.remove(made)
    clock[0] += KEPT + 60
    again = await cells.create("key", "again", {"by": "later"})
    assert again is not None
    assert await make_sweep(client).sweep() == 2
    assert await names(client) == [
        *("test/key/again#1", "test/key/again#2", "test/key/again#3"),
        "test/key/held#1",
    ]
    assert await cells.create("key", "again", {}) is None
    assert await cells.create("key", "held", {}) is None
    assert await cells.create("key", "gone", {}) is not None


async def test_a_use_in_the_moment_of_the_deletion_is_found_and_marked(
    client: Client, clock: list[float]
) -> None:
    cells = Cells(client, "test")
    made = await cells.create("key", "a", {})
    assert made is not None
    assert await cells.remove(made)
    clock[0] += KEPT + 60
    seen = await cells.tip("key", "a")
    assert seen is not None

    class Meanwhile:
        """Lets somebody use the cell between the sweep's look and its deletion."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        async def delete_many(self, *args: Any, **options: Any) -> int:
            assert await cells.replace(seen, {"by": "now"})
            return await client.delete_many(*args, **options)

    meanwhile: Any = Meanwhile()
    await make_sweep(meanwhile).sweep()
    assert await names(client) == ["test/key/a#1", "test/key/a#3"]
    assert await cells.create("key", "a", {}) is None
    found = await cells.read("key", "a")
    assert found is not None
    assert found.content == {"by": "now"}


async def test_unique_keys_and_guards_go_when_they_are_over(
    client: Client, clock: list[float]
) -> None:
    await client.insert_one("mq", {**QUEUE, "name": "q"})
    producer = Producer(ClientSender(client, "test"))
    done = await producer.push("q", {}, unique="done")
    held = await producer.push("q", {}, unique="held", unique_for="24h")
    for pushed in (done, held):
        popped = await client.pop_workitem("q")
        assert popped is not None
        assert popped.id == pushed.id
        popped.state = SUCCESSFUL
        await client.update_workitem(popped)
    await producer.push("q", {}, unique="waits")
    deleted = await producer.push("q", {}, unique="deleted")
    await client.delete_workitem(deleted.id)
    state = State(client, "test")
    assert await state.once("forever")
    assert await state.once("hour", keep="1h")
    assert await state.once("day", keep="24h")

    async def left() -> set[str]:
        found = await client.query(COLLECTION, {"_type": "cell", "number": 1}, top=500)
        return {one["name"] for one in found}

    for _ in range(2):  # removed, then deleted
        clock[0] += KEPT + 60
        await make_sweep(client).sweep()
    assert await left() == {"q/held", "q/waits", "forever", "day"}
    clock[0] += 24 * 3600
    for _ in range(2):
        clock[0] += KEPT + 60
        await make_sweep(client).sweep()
    assert await left() == {"q/waits", "forever"}


async def test_a_key_whose_item_carries_its_id_in_the_metadata_is_kept_while_it_waits(
    client: Client, clock: list[float], server: LocalServer
) -> None:
    await client.insert_one("mq", {**QUEUE, "name": "q"})
    server.faults.refuse_collections.add("workitems")
    first = await Producer(ClientSender(client, "test")).push("q", {}, unique="a")
    clock[0] += KEPT + 60
    await make_sweep(client).sweep()
    assert (await Producer(ClientSender(client, "test")).push("q", {}, unique="a")).id == first.id


async def test_a_group_is_forgotten_30_days_after_its_end_and_its_key_after_it(
    client: Client, clock: list[float]
) -> None:
    await client.insert_one("mq", {**QUEUE, "name": "q"})

    async def push() -> Group:
        producer = Producer(ClientSender(client, "test"))
        return await producer.push_group([("q", {})], key="k")

    async def days(number: int) -> None:
        clock[0] += number * 86_400
        for _ in range(3):
            clock[0] += KEPT + 60
            await make_sweep(client).sweep()

    group = await push()
    await days(40)
    assert (await push()).id == group.id  # it is open
    popped = await client.pop_workitem("q")
    assert popped is not None
    popped.state = SUCCESSFUL
    await client.update_workitem(popped)
    assert (await ClientSender(client, "test").groups.settle(group.id)).over
    await days(20)
    assert (await push()).id == group.id
    await days(11)
    assert (await push()).id != group.id


async def test_more_than_a_page_is_swept(client: Client, clock: list[float]) -> None:
    counters = [State(client, "test").counter(name) for name in ("a", "b")]
    for _ in range(300):
        await asyncio.gather(*(counter.add() for counter in counters))
    clock[0] += KEPT + 60
    sweep = make_sweep(client)
    for _ in range(2):
        await sweep.sweep()
    left = await names(client)
    assert len(left) <= 6
    assert await counters[0].value() == 300


async def test_an_hour_with_nothing_to_do_costs_two_messages(client: Client) -> None:
    calls: list[str] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(client, name)

    counting: Any = Counting()
    await make_sweep(counting).sweep()
    calls.clear()  # the first one of all makes the document that tells the time, and the index
    sweep = make_sweep(counting)
    await sweep.sweep()
    assert calls == ["update_one", "get_indexes", "query"], "a process asks for the index once"
    calls.clear()
    await sweep.sweep()
    assert calls == ["query"], "the time is known for a minute"
    assert FIRST >= 60
    assert EVERY == 3600


@pytest.mark.parametrize("rank", [0, None])
async def test_the_leading_worker_sweeps(
    client: Client, clock: list[float], rank: int | None
) -> None:
    counter = State(client, "test").counter("n")
    for _ in range(3):
        await counter.add()
    clock[0] += KEPT + 60
    sweep = make_sweep(client, Fleet(rank), first=0.05, every=0.05)
    await sweep.start()
    async with asyncio.timeout(60):
        while len(await names(client)) > 2:
            await asyncio.sleep(0.02)
    await sweep.stop()


async def test_what_one_sweep_leaves_the_next_one_takes_soon(
    client: Client, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.maintenance.sweep.PAGE", 10)
    monkeypatch.setattr("worker.engine.maintenance.sweep.MOST_PAGES", 1)
    counter = State(client, "test").counter("n")
    for _ in range(40):
        await counter.add()
    clock[0] += KEPT + 60
    sweep = make_sweep(client, first=0.01, every=3600, again=0.01)
    await sweep.start()
    async with asyncio.timeout(60):
        while len(await names(client)) > 10:
            await asyncio.sleep(0.02)
    await sweep.stop()


async def test_another_worker_asks_the_server_nothing() -> None:
    unused: Any = None  # a sweep would break on it
    fleet = Fleet(1)
    sweep = make_sweep(unused, fleet, first=0.01, every=0.01)
    await sweep.start()
    async with asyncio.timeout(60):
        while fleet.asked < 3:
            await asyncio.sleep(0.01)
    await sweep.stop()


async def test_forgotten_values_go_and_others_stay(client: Client, clock: list[float]) -> None:
    values = State(client, "test").values
    await values.set("forgotten", 1, ttl="1h")
    await values.set("counted", 1, ttl="1h")
    await values.incr("counted")
    await values.set("later", 1, ttl="9d")
    await values.set("kept", 1)
    for _ in range(3):  # removed, then deleted
        clock[0] += KEPT + 60
        await make_sweep(client).sweep()
    left = await client.query(COLLECTION, {"_type": "cell"}, {"name": 1}, top=500)
    assert sorted({str(one["name"]) for one in left}) == ["kept", "later"]
