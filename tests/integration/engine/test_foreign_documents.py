"""Documents that somebody else wrote: on the real server, in the collections of the fleet."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from tests.integration.engine.conftest import (
    DEADLINE,
    PASSWORD,
    USER,
    create_queue,
    settings_for,
    until_finished,
)
from tests.integration.engine.test_taking_over import Line, log, rescuer
from worker import handler
from worker.app.application import Application
from worker.engine.concurrency.waiting_line import WaitingLines
from worker.engine.daemon import Daemon
from worker.engine.delivery.delivery import Delivery
from worker.engine.delivery.writeback import WriteBack
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.fleet.in_processing import ItemsInProcessing
from worker.engine.fleet.own_name import OwnName
from worker.engine.fleet.presence import COLLECTION, Peer, WorkerInfo
from worker.engine.fleet.rescuer import _delete_worker
from worker.engine.fleet.roster import PAGE, Roster
from worker.item.outcome import Outcome
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.connection import Connection, LinkTimes
from worker.openiap.errors import AccessDenied
from worker.openiap.factory import make_client
from worker.openiap.fields import Misfit
from worker.openiap.limiter import Limiter
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.workitem import Workitem
from worker.settings import Settings
from worker.state.cells import COLLECTION as STATE
from worker.state.cells import Cells
from worker.state.state import State
from worker.telemetry.log import Log

LARGE = 4_500_000


@pytest.fixture
async def native(server: LocalServer, tmp_path: Path) -> AsyncIterator[Client]:
    door = make_client(settings_for(server.ws_url, tmp_path / "native", client="native"))
    await door.connect()
    await create_queue(door, "q")
    yield door
    await door.disconnect()


def heartbeat(client: Client, name: str, told: list[Misfit]) -> Heartbeat:
    return Heartbeat(
        WorkerInfo(name, "1", {"q": 1}),
        pool=cast(Pool, Line(client)),
        interval=1000,
        dead_after=3000,
        in_flight=tuple,
        log=log(),
        misfits=told.append,
    )


async def test_however_many_documents_others_write_the_living_are_seen(native: Client) -> None:
    crowd = [
        {"_id": f"pod-{n:05}", "_type": "worker", "queues": ["q"], "items": []}
        for n in range(2 * PAGE)
    ]
    others = [{"_id": f"other-{n:05}", "_type": "worker", "queues": []} for n in range(PAGE)]
    odd: list[dict[str, Any]] = [
        {"_id": "odd-1", "_type": "worker", "queues": ["q"], "items": [None, 5, {"id": {}}]},
        {"_id": "odd-2", "_type": "worker", "queues": ["q"], "items": {"id": "i"}},
        {"_id": "odd-3", "_type": "worker", "queues": ["q", None, 5], "pid": [], "host": None},
    ]
    await native.insert_many(COLLECTION, [*crowd, *others, *odd], skipresults=True)
    told: list[Misfit] = []
    living = heartbeat(native, "z-living", told)
    await living.start()
    try:
        found = {peer.id: peer for peer in await living.peers()}
    finally:
        await living.stop()
    assert len(found) == 2 * PAGE + 4
    assert found["z-living"].silent < 60
    assert {misfit.id for misfit in told} == {"odd-1", "odd-2"}
    assert found["odd-3"].queues == ("q",)


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    """One with gRPC, for the links that large answers break."""
    options = ServerOptions(users={USER: PASSWORD}, wakeup_interval=0.2, wakeup_spacing=0.01)
    async with LocalServer(options) as running:
        yield running


@pytest.fixture
async def pool(server: LocalServer, tmp_path: Path) -> AsyncIterator[Pool]:
    """One link that an answer of more than 4 MiB breaks."""
    settings = settings_for(server.grpc_url, tmp_path / "state", client="official")
    pool = Pool([connection(settings)])
    await pool.start()
    yield pool
    await pool.stop()


def connection(settings: Settings) -> Connection:
    async def signed_in(connection: Connection) -> None: ...

    return Connection(
        "1",
        lambda: make_client(settings),
        limiter=Limiter(0),
        times=LinkTimes(reconnect_min=0.05, reconnect_max=0.5),
        log=log(),
        on_connected=signed_in,
        on_lost=lambda connection, reason: None,
    )


@pytest.mark.dear
@pytest.mark.parametrize(
    ("wire", "size", "count"), [("grpc_url", 4_500_000, 1), ("ws_url", 9_000_000, 2)]
)
async def test_items_too_large_for_the_link_hide_none_of_the_others(
    native: Client, server: LocalServer, tmp_path: Path, wire: str, size: int, count: int
) -> None:
    await create_queue(native, "q")
    for n in range(count):
        await native.push_workitem("q", {"n": n}, name="x" * size)
    for n in range(20):
        await native.push_workitem("q", {"n": n}, name=f"small {n}")
    popped = [await native.pop_workitem("q") for _ in range(count + 20)]
    there = {item.id for item in popped if item is not None}
    told: list[Misfit] = []
    settings = settings_for(getattr(server, wire), tmp_path / "state", client="official")
    pool = Pool([connection(settings)])
    await pool.start()
    try:
        items = ItemsInProcessing(pool, told.append)
        found = {document["_id"] for document in await items.of(["q"])}
        breaks = pool.epoch
        again = {document["_id"] for document in await items.of(["q"])}
        assert pool.epoch == breaks  # and no link breaks any more
    finally:
        await pool.stop()
    assert found == again == there  # the large ones without what is large
    assert {misfit.kind for misfit in told} == {"work item"}


@pytest.mark.dear
@pytest.mark.parametrize(
    ("wire", "size", "count"), [("grpc_url", 4_500_000, 1), ("ws_url", 6_000_000, 3)]
)
async def test_documents_too_large_for_the_link_hide_nobody(
    native: Client, server: LocalServer, tmp_path: Path, wire: str, size: int, count: int
) -> None:
    """Their answers break the official client's link, each time that they are asked for."""
    for n in range(count):
        large = {"_id": f"large-{n}", "_type": "worker", "queues": ["q"], "items": ["x" * size]}
        await native.insert_one(COLLECTION, large)
    others = [{"_id": f"pod-{n:02}", "_type": "worker", "queues": ["q"]} for n in range(20)]
    await native.insert_many(COLLECTION, others, skipresults=True)
    told: list[Misfit] = []
    settings = settings_for(getattr(server, wire), tmp_path / "state", client="official")
    pool = Pool([connection(settings)])
    await pool.start()
    try:
        roster = Roster(pool, ["q"], told.append)
        names = {document["_id"] for document in await roster.documents()}
        breaks = pool.epoch
        again = {document["_id"] for document in await roster.documents()}
        assert pool.epoch == breaks  # and no link breaks any more
    finally:
        await pool.stop()
    assert names == again == {document["_id"] for document in others}
    assert {misfit.id for misfit in told} == {f"large-{n}" for n in range(count)}


@pytest.mark.parametrize("field", ["items", "life"])
async def test_a_document_too_large_for_the_link_does_not_keep_a_worker_from_its_name(
    native: Client, server: LocalServer, tmp_path: Path, field: str
) -> None:
    large = {"_id": "me", "_type": "worker", "queues": ["q"], field: "x" * 4_500_000}
    await native.insert_one(COLLECTION, large)
    settings = settings_for(server.grpc_url, tmp_path / "state", client="official")
    pool = Pool([connection(settings)])
    await pool.start()
    me = WorkerInfo("me", "1", {"q": 1}, life="l", lock="here")
    try:
        name = OwnName(me, pool, dead_after=1.0, log=log())
        async with asyncio.timeout(DEADLINE):
            await name.take({"_id": "me", "_type": "worker", "life": "l", "lock": "here"})
    finally:
        await pool.stop()
    (found,) = await native.query(COLLECTION, {"_id": "me"})
    assert (found["life"], found["items"]) == ("l", [])


DEATHS: list[dict[str, Any]] = [
    {"attempts": None, "workers": None},
    {"attempts": 5, "workers": 5},
    {"attempts": [None, "1", {}], "workers": [1, None]},
    {"attempts": {"a": 1}},
    {},
]


@pytest.mark.parametrize("odd", DEATHS, ids=str)
async def test_an_odd_count_of_deaths_holds_up_neither_its_item_nor_the_others(
    native: Client, odd: dict[str, Any]
) -> None:
    items = []
    for _ in range(3):
        await native.push_workitem("q", {})
        item = await native.pop_workitem("q")
        assert item is not None
        items.append(item)
    spoiled = {"_id": f"deaths-{items[0].id}", "_type": "deaths", **odd}
    await native.insert_one(COLLECTION, spoiled)
    claims = frozenset((item.id, 0) for item in items)
    dead = Peer("owner", "host", 1, "1", ("q",), 60, claims)
    assert await rescuer(native, "heir", dead).rescue() == 3


async def test_a_count_of_deaths_too_large_for_the_link_keeps_no_outcome_back(
    native: Client, server: LocalServer, tmp_path: Path
) -> None:
    """It is read before an item fails for good: its number may be higher than its attempts."""
    await create_queue(native, "last", maxretries=2)
    pushed = await native.push_workitem("last", {})
    large = {"_id": f"deaths-{pushed.id}", "_type": "deaths", "workers": ["x" * 4_500_000]}
    await native.insert_one(COLLECTION, large)
    settings = settings_for(server.grpc_url, tmp_path / "state", client="official")

    @handler("last")
    async def fail(payload: dict[str, Any]) -> None:
        raise ValueError("no")

    daemon = Daemon(settings, Application.of(fail))
    async with asyncio.timeout(DEADLINE):
        await daemon.start()
    try:
        (ended,) = await until_finished(native, "last")
    finally:
        await daemon.stop()
    assert (ended["state"], ended["errormessage"]) == ("failed", "ValueError: no")


@pytest.mark.dear
async def test_what_is_too_large_among_a_cells_versions_is_a_version_without_content(
    native: Client, pool: Pool
) -> None:
    counter = State(native).counter("n")
    assert [await counter.add(), await counter.add()] == [1, 2]
    await native.insert_one(STATE, {"_id": "/counter/n#5" + "x" * LARGE})
    seen = State(pooled_client(pool)).counter("n")
    assert await seen.value() == 2
    assert await seen.add() == 3
    breaks = pool.epoch
    assert await seen.value() == 3
    assert pool.epoch == breaks
    await native.insert_one(
        STATE, {"_id": f"/counter/n#{7:010}", "content": {"value": "x" * LARGE}}
    )
    with pytest.raises(Exception, match="no whole number"):
        await State(pooled_client(pool)).counter("n").add()


@pytest.mark.dear
async def test_an_outcome_is_written_whatever_somebody_put_into_its_item(
    native: Client, pool: Pool
) -> None:
    """It is read before it is written; an answer of megabytes would break the link each time."""
    await native.push_workitem("q", {})
    item = await native.pop_workitem("q")
    assert item is not None
    mine = {"_id": item.id}
    await native.update_document("workitems", mine, {"$set": {"errormessage": "x" * LARGE}})
    delivers = WriteBack(pool, worker_id="me", lease=0, log=log())
    async with asyncio.timeout(DEADLINE):
        done = await delivers.deliver(
            Delivery(item, Outcome("successful", payload={"done": True}), sent=True)
        )
    assert done.result == "applied"
    (ended,) = await native.query("workitems", mine, {"state": 1})
    assert ended["state"] == "successful"


async def test_a_dead_workers_document_that_stays_is_asked_for_once(native: Client) -> None:
    asked: list[str] = []

    class Refusing(Line):
        """A server that refuses to delete a document."""

        async def call(self, operation: Any, *, turn: str = "") -> Any:
            if getattr(operation, "func", None) is _delete_worker:
                asked.append(operation.keywords["id"])
                if operation.keywords["id"] == "odd":
                    raise AccessDenied("no")
                return None  # answers, and deletes nothing
            return await super().call(operation, turn=turn)

    said: list[str] = []
    dead = [Peer(name, "host", 1, "1", ("q",), 7200, frozenset()) for name in ("odd", "silent")]
    looks = rescuer(native, "me", *dead)
    looks._pool = cast(Pool, Refusing(native))
    looks._log = Log("warn", write=lambda level, line: said.append(line))
    maintained: list[Any] = []

    async def maintain(queues: Any) -> None:
        maintained.append(queues)

    looks._maintain = maintain
    for _ in range(3):
        await looks.rescue()
    assert asked == ["odd", "silent"]
    assert len(maintained) == 3  # nothing behind it was held up
    assert [line for line in said if "odd" in line and "2 documents" in line] == said
    for stays in looks._stays.values():
        stays.until = 0.0
    await looks.rescue()
    assert asked == ["odd", "silent"] * 2


async def test_a_worker_starts_and_works_whatever_its_own_document_claims(client, start) -> None:
    @handler("q")
    async def work(payload: dict) -> dict:
        return {"done": True}

    await create_queue(client, "q")
    items: list[Any] = [None, 5, "i", {"id": 5}, {"id": "x", "retries": "1"}, {"id": []}]
    document = {"_id": "me", "_type": "worker", "host": [], "queues": 7, "items": items}
    await client.insert_one(COLLECTION, document)
    # It may be another's who lives: the start waits until that one is silent for long enough.
    await start(work, worker_id="me", heartbeat_interval=0.3, dead_after=1)
    await client.push_workitem("q", {})
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"


async def test_a_cell_is_found_among_what_somebody_put_between_its_versions(
    native: Client,
) -> None:
    counter = State(native).counter("n")
    assert [await counter.add(), await counter.add()] == [1, 2]
    foreign = [{"_id": f"/counter/n#5-{n:04}"} for n in range(150)]
    await native.insert_many(STATE, foreign, skipresults=True)
    assert await State(native).counter("n").value() == 2
    assert await State(native).counter("n").add() == 3


async def test_a_cell_whose_last_number_is_taken_says_so(native: Client) -> None:
    await native.insert_one(STATE, {"_id": f"/counter/n#{'9' * 10}", "content": {"value": 1}})
    with pytest.raises(Exception, match="has no number left"):
        await State(native).counter("n").add()


@pytest.mark.parametrize("content", [{"value": "a"}, {"value": None}, {"value": 1.5}, None])
async def test_a_counter_that_holds_no_number_says_so_and_never_begins_anew(
    native: Client, content: object
) -> None:
    await native.insert_one(STATE, {"_id": f"/counter/n#{7:010}", "content": content})
    with pytest.raises(Exception, match="no whole number"):
        await State(native).counter("n").add()


@pytest.mark.parametrize(
    "content", [{"held": True, "lease": lease} for lease in ("1", None, -5, [], True)], ids=str
)
async def test_a_lock_with_an_odd_lease_is_held_for_a_lease_and_not_for_ever(
    native: Client, content: object
) -> None:
    await native.insert_one(STATE, {"_id": f"/lock/l#{3:010}", "token": "t", "content": content})
    clock = [0.0]

    def passing() -> float:
        clock[0] += 0.5
        return clock[0]

    lock = State(native).lock("l", "2s", wait="1h")
    lock._clock = passing
    held = await lock.acquire()
    assert held.number > 1
    await lock.release()


async def test_lines_are_read_on_past_what_is_no_place(native: Client) -> None:
    told: list[Misfit] = []
    lines = WaitingLines(native, namespace="", queue="q", misfits=told.append)
    for name in ("q/a", "q/b"):
        await lines.join(lines.waiter(name, name, Workitem(id=f"i-{name[-1]}", wiq="q")))
    foreign = [{"_id": f"/line/q/a#0-{n:04}", "line": ""} for n in range(250)]
    await native.insert_many(STATE, foreign, skipresults=True)
    assert [waiter.item for waiter in await lines.first("q/a", 1)] == ["i-a"]
    heads = await lines.heads("", most=10)
    assert "i-b" in [waiter.item for waiter in heads]
    assert told


async def test_who_takes_a_place_away_late_leaves_that_of_the_next_run(native: Client) -> None:
    lines = WaitingLines(native, namespace="", queue="q")
    popped = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    runs = [Workitem(id="i", wiq="q", lastrun=popped + timedelta(seconds=n)) for n in range(2)]
    first, second = (lines.waiter("q/a", "a", run) for run in runs)
    await lines.join(first)
    await lines.join(second)
    await lines.leave(first)
    assert [waiter.id for waiter in await lines.first("q/a", 5)] == [second.id]


async def test_a_version_that_another_user_spoiled_is_still_the_number_that_is_taken(
    native: Client,
) -> None:
    cells = Cells(native)
    made = await cells.create("k", "n", {"a": 1})
    assert made is not None
    spoiled = {"_id": f"/k/n#{2:010}", "number": "x", "content": 5, "token": None, "_acl": 5}
    await native.insert_one(STATE, spoiled)
    tip = await cells.tip("k", "n")
    assert tip is not None
    assert (tip.number, tip.content) == (2, {})
    assert await cells.replace(made, {"a": 2}) is None
    assert await cells.replace(tip, {"a": 2}) is not None


async def test_an_item_without_a_usable_pop_time_is_put_back_once_it_was_seen_for_long(
    native: Client,
) -> None:
    document = {"_type": "workitem", "wiq": "q", "state": "processing", "retries": 0, "name": "n"}
    stored = await native.insert_one("workitems", {**document, "payload": {}, "lastrun": None})
    await native.update_one("workitems", {**stored, "state": "processing", "lastrun": None})
    looking = rescuer(native, "heir", unclaimed_after=5)
    assert await looking.rescue() == 0
    looking._seen = {run: seen + 10 for run, seen in looking._seen.items()}
    assert await looking.rescue() == 1
    (found,) = await native.query("workitems", {"_id": stored["_id"]})
    assert found["state"] in ("new", "failed")
