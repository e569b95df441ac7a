"""Whether the server tells of a queue's items, so that looking at it can be rare."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from tests.integration.engine.conftest import DEADLINE, Make, create_queue
from worker.app.decorator import handler
from worker.engine.queues import Queues
from worker.engine.registration import Registration
from worker.localserver import LocalServer
from worker.localserver.operations.watches import Watches
from worker.openiap.client import Client
from worker.openiap.connection import Connection
from worker.producer.sender import ClientSender
from worker.telemetry.log import Log

RIGHT_PATH = "$.*.nextrun"
"""It does not recurse, and is no comparison, each of which is a script to OpenIAP."""


class Line:
    """One signed-in client in the place of a connection."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.ready = asyncio.Event()
        self.ready.set()

    async def call(self, operation: Callable[[Client], Awaitable[Any]], *, turn: str = "") -> Any:
        return await operation(self.client)


def line(client: Client) -> Connection:
    return cast(Connection, Line(client))


def queues(*names: str, wake: Callable[[str], None] = lambda name: None) -> Queues:
    log = Log("error", write=lambda level, line: None)
    return Queues(names, message_queue="", wake=wake, log=log)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not true():
            await asyncio.sleep(0.01)


class Paths:
    """Notes the paths of watches that the server is asked for; ``mute`` ones tell of nothing, as
    one whose path the server's library throws on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.mute = False
        add = Watches.add

        def noted(watches: Watches, client: Any, collection: str, paths: list[str]) -> str:
            self.asked += paths
            return add(
                watches, client, collection, ["$[?(@.state == 'mute')]"] if self.mute else paths
            )

        monkeypatch.setattr(Watches, "add", noted)


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> Paths:
    return Paths(monkeypatch)


async def test_a_queue_counts_as_told_of_only_while_something_tells(
    server: LocalServer, client: Client
) -> None:
    await create_queue(client, "q", amqpqueue="Q-Messages")
    await create_queue(client, "mute", amqpqueue="")
    told = queues("q", "mute")
    assert not told.notified("q")
    server.faults.refuse = {"watch": 2, "registerqueue": 2}
    await told.register(line(client))
    assert (told.notified("q"), told.notified("mute")) == (False, False)
    server.faults.refuse = {"watch": 2}
    await told.register(line(client))
    assert (told.notified("q"), told.notified("mute")) == (True, False), "by messages alone"
    server.faults.refuse = {}
    await told.register(line(client))
    await until(lambda: told.notified("mute"))
    assert told.notified("q"), "by the watch"


async def test_a_watch_that_tells_of_nothing_is_not_believed(client: Client, paths: Paths) -> None:
    await create_queue(client, "q", amqpqueue="")
    paths.mute = True
    told = queues("q")
    await told.register(line(client))
    await client.push_workitem("q", {})
    assert await client.count("workitems", {"wiq": "q"}) == 1, "what was told is here by now"
    assert not told.notified("q")
    paths.mute = False
    await told.register(line(client))
    await until(lambda: told.notified("q"))
    paths.mute = True
    await told.register(line(client))
    assert not told.notified("q"), "each sign-in's watch has to show it anew"


async def test_the_paths_of_watches_are_ones_that_do_not_recurse(
    client: Client, paths: Paths
) -> None:
    await create_queue(client, "q")
    await queues("q").register(line(client))
    item = await client.push_workitem("q", {})
    waiting = asyncio.create_task(ClientSender(client).ended(item.id, "q", DEADLINE))
    popped = await client.pop_workitem("q")
    assert popped is not None
    popped.state = "successful"
    await client.update_workitem(popped)
    await waiting
    of_queues = "$[?(@._type == 'workitemqueue')]"
    assert set(paths.asked) <= {RIGHT_PATH, "$.*.userid", of_queues}
    assert RIGHT_PATH in paths.asked


async def test_the_document_that_tries_a_watch_out_is_taken_away_and_wakes_nobody(
    client: Client,
) -> None:
    await create_queue(client, "q")
    woken: list[str] = []
    told = queues("q", wake=woken.append)
    await told.register(line(client))
    await told.register(line(client))
    await until(lambda: told.watched)
    assert await client.count("workitems", {}) == 0
    assert woken == []


@pytest.mark.parametrize("compete", [True, False])
async def test_where_pops_compete_a_watch_tells_of_taken_items_too(
    compete: bool, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_queue(client, "q", amqpqueue="")
    monkeypatch.setitem(client.server_config, "pops_compete", compete)
    seen: list[tuple[str, str]] = []
    log = Log("error", write=lambda level, line: None)
    told = Queues(
        ("q",),
        message_queue="",
        wake=lambda name: None,
        log=log,
        changed=lambda name, document: seen.append((name, document["state"])),
    )
    await told.register(line(client))
    await until(lambda: told.watched)
    assert seen == [], "the document that tries a watch out is no item"
    await client.push_workitem("q", {})
    assert await client.pop_workitem("q") is not None
    await client.push_workitem("q", {})
    expected = [("q", "new"), *[("q", "processing")] * compete, ("q", "new")]
    await until(lambda: len(seen) >= len(expected))
    assert seen == expected


async def test_one_that_was_left_by_a_broken_link_does_not_keep_the_next_from_being_tried(
    server: LocalServer, client: Client
) -> None:
    await create_queue(client, "q")
    told = queues("q")
    server.faults.refuse = {"deleteone": 1}
    await told.register(line(client))
    assert await client.count("workitems", {}) == 1, "it could not be taken away"
    await told.register(line(client))
    await until(lambda: told.watched)
    assert await client.count("workitems", {}) == 0


async def test_a_user_who_may_not_write_it_relies_on_the_watch_from_its_first_item_on(
    server: LocalServer, client: Client
) -> None:
    await create_queue(client, "q", amqpqueue="")
    server.faults.refuse_collections = {"workitems"}
    woken: list[str] = []
    told = queues("q", wake=woken.append)
    await told.register(line(client))
    assert not told.notified("q")
    await client.push_workitem("q", {})
    await until(lambda: told.notified("q"))
    assert woken == ["q"]


async def registration(told: Queues, client: Client, signed_in: Awaitable[None]) -> Registration:
    """Look after the registrations, without a second's pause."""
    connection = line(client)
    service = Registration(
        told,
        lambda: connection,
        registered=lambda: None,
        log=Log("error", write=lambda level, line: None),
        chance=random.Random(1),
        first=0.01,
    )
    await service.start()
    await signed_in
    service.trigger()
    return service


@pytest.mark.parametrize("refused", ["watch", "registerqueue", "query", "insertone"])
async def test_what_is_refused_right_after_a_sign_in_is_asked_for_until_it_is_there(
    refused: str, server: LocalServer, client: Client
) -> None:
    await create_queue(client, "q", amqpqueue="Q-Messages", maxretries=7)
    woken: list[str] = []
    told = queues("q", wake=woken.append)
    server.faults.refuse = {refused: 3}
    service = await registration(told, client, told.register(line(client)))
    try:
        assert told.owed, "it was refused"
        await until(lambda: not told.owed)
        await until(lambda: told.watched)
    finally:
        await service.stop()
    assert server.faults.refuse[refused] == 0
    assert told.facts["q"].maxretries == 7
    await client.queue_message({"wiq": "q"}, "Q-Messages")
    await until(lambda: "q" in woken)


async def test_a_queue_that_is_made_after_the_sign_in_is_worked_like_any_other(
    server: LocalServer, client: Client
) -> None:
    told = queues("late")
    service = await registration(told, client, told.register(line(client)))
    try:
        assert told.unknown == {"late"}
        await create_queue(client, "late", amqpqueue="")
        await until(lambda: not told.unknown)
    finally:
        await service.stop()
    assert told.facts["late"].maxretries == 3


async def test_what_earlier_sign_ins_read_of_a_queue_holds_while_it_cannot_be_read(
    server: LocalServer, client: Client
) -> None:
    await create_queue(client, "q", amqpqueue="Q-Messages")
    told = queues("q")
    await told.register(line(client))
    server.faults.refuse = {"query": 1}
    await told.register(line(client))
    assert told.facts["q"].amqpqueue == "Q-Messages"
    assert told.owed


async def test_a_worker_whose_registrations_were_refused_hears_of_items_without_a_poll(
    start: Make, server: LocalServer, client: Client
) -> None:
    await create_queue(client, "q", amqpqueue="")
    done = asyncio.Event()

    @handler("q")
    async def work(payload: dict[str, Any]) -> None:
        done.set()

    server.faults.refuse = {"watch": 2, "registerqueue": 1}
    daemon = await start(work, poll_interval=600)
    parts = daemon._parts
    assert parts is not None
    await until(lambda: parts.queues.watched)
    await client.push_workitem("q", {})
    async with asyncio.timeout(DEADLINE):
        await done.wait()


async def test_who_waits_for_many_items_watches_once_and_hears_of_each_at_once(
    client: Client, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_queue(client, "q")
    monkeypatch.setattr("worker.producer.sender.LONGEST", DEADLINE)
    monkeypatch.setattr("worker.producer.sender.FIRST_LOOK", DEADLINE)
    sender, count = ClientSender(client), 12
    items = [(await client.push_workitem("q", {"n": n})).id for n in range(count)]
    waiting = [asyncio.create_task(sender.ended(id, "q", None)) for id in items]
    await until(lambda: "$.*.userid" in paths.asked)
    for _ in items:
        popped = await client.pop_workitem("q")
        assert popped is not None
        popped.state = "successful"
        await client.update_workitem(popped)
    async with asyncio.timeout(DEADLINE / 2):  # before the second look
        found = await asyncio.gather(*waiting)
    assert {one["_id"] for one in found} == set(items)
    assert paths.asked.count("$.*.userid") == 1
    assert not [path for path in paths.asked if "?" in path], "no comparison"
