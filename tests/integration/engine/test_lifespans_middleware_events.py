"""Lifespans, resources, middleware and events around handlers, with a real server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import pytest

from tests.integration.engine.conftest import create_queue, until_finished, until_idle
from worker import (
    Backoff,
    BusinessError,
    Client,
    Event,
    Item,
    Resource,
    handler,
    lifespan,
    middleware,
    on_connected,
    on_exhausted,
    on_failed,
    on_retry,
    on_shutdown,
    on_start,
    on_success,
)
from worker.app.application import Application
from worker.errors import HandlerError


class Database:
    def __init__(self) -> None:
        self.rows: list[str] = []
        self.open = True


class Session:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.ended = ""


async def test_a_lifespan_is_made_once_and_closed_when_the_work_is_done(client, start) -> None:
    said: list[str] = []

    @lifespan
    async def database(client: Client) -> AsyncIterator[Database]:
        await client.count("workitems")
        made = Database()
        said.append("opened")
        yield made
        made.open = False
        said.append("closed")

    @handler("q")
    async def work(payload: dict, database: Database) -> dict:
        assert database.open
        database.rows.append(payload["n"])
        return {"rows": len(database.rows)}

    await create_queue(client, "q")
    for n in range(3):
        await client.push_workitem("q", {"n": n})
    daemon = await start(Application.of(database, work))
    done = await until_finished(client, "q", 3)
    assert sorted(d["payload"]["rows"] for d in done) == [1, 2, 3]
    assert said == ["opened"]
    await daemon.stop()
    assert said == ["opened", "closed"]


async def test_a_lifespan_that_fails_keeps_the_worker_from_starting(client, start) -> None:
    @lifespan
    async def database() -> AsyncIterator[Database]:
        raise ConnectionError("no route to db")
        yield Database()

    @handler("q")
    async def work(payload: dict, database: Database) -> None: ...

    await create_queue(client, "q")
    with pytest.raises(HandlerError) as at:
        await start(Application.of(database, work))
    assert str(at.value).endswith(
        "database failed to start, so the worker does not: ConnectionError: no route to db."
    )


async def test_a_resource_is_made_for_each_item_and_ended_with_it(client, start) -> None:
    sessions: list[Session] = []

    @lifespan
    async def database() -> AsyncIterator[Database]:
        yield Database()

    async def session(database: Database, item: Item) -> AsyncIterator[Session]:
        if item.payload["n"] == 0 and item.attempt == 1:
            raise ConnectionError("pool is empty")
        made = Session(database)
        sessions.append(made)
        try:
            yield made
        except ValueError:
            made.ended = "rolled back"
            raise
        made.ended = "committed"

    @handler("q")
    def work(payload: dict, session: Annotated[Session, Resource(session)]) -> dict:
        if payload["n"] == 2:
            raise ValueError("wrong")
        return {"open": session.ended == ""}

    await create_queue(client, "q", maxretries=2)
    for n in range(3):
        await client.push_workitem("q", {"n": n}, name=str(n))
    await start(Application.of(database, work))
    done = {d["name"]: d for d in await until_finished(client, "q", 3)}
    assert [done[n]["state"] for n in "012"] == ["successful", "successful", "failed"]
    assert done["0"]["retries"] == 1
    if not client.capabilities.conditional_updates:  # the others take it away with the success
        assert done["0"]["errormessage"].startswith("resource test_a_resource_is_made_for")
        assert done["0"]["errormessage"].endswith(".session: ConnectionError: pool is empty")
    assert sorted(s.ended for s in sessions) == [
        "committed",
        "committed",
        "rolled back",
        "rolled back",
    ]


async def test_middleware_is_entered_in_order_and_left_in_the_reverse_order(client, start) -> None:
    said: list[str] = []

    @middleware
    async def first(item: Item) -> AsyncIterator[None]:
        said.append("first in")
        yield
        said.append("first out")

    @middleware
    async def second() -> AsyncIterator[None]:
        said.append("second in")
        try:
            yield
        finally:
            said.append("second out")

    async def own(item: Item, client: Client) -> AsyncIterator[None]:
        said.append("own in")
        try:
            yield
        except KeyError as error:
            raise BusinessError("no such key", code="KEY") from error
        finally:
            said.append("own out")

    @handler("q", middleware=[own])
    async def work(payload: dict) -> None:
        said.append("work")
        if "bad" in payload:
            raise KeyError("bad")

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    daemon = await start(Application.of(first, second, work))
    await until_finished(client, "q")
    await until_idle(daemon)
    inward = ["first in", "second in", "own in", "work"]
    assert said == [*inward, "own out", "second out", "first out"]
    await client.push_workitem("q", {"bad": 1}, name="bad")
    done = {d["name"]: d for d in await until_finished(client, "q", 2)}
    assert (done["bad"]["state"], done["bad"]["errormessage"]) == ("failed", "[KEY] no such key")


async def test_a_middleware_that_raises_is_named_on_the_item(client, start) -> None:
    async def tenant(item: Item) -> AsyncIterator[None]:
        raise LookupError("no tenant 7")
        yield

    async def closing(item: Item) -> AsyncIterator[None]:
        yield
        raise OSError("cannot close")

    called = []

    @handler("q", middleware=[tenant])
    async def work(payload: dict) -> None:
        called.append(1)

    @handler("p", middleware=[closing])
    async def other(payload: dict) -> None: ...

    for queue in ("q", "p"):
        await create_queue(client, queue, maxretries=1)
        await client.push_workitem(queue, {})
    await start(work, other)
    (done,) = await until_finished(client, "q")
    where = "test_a_middleware_that_raises_is_named_on_the_item"
    assert done["errormessage"] == f"middleware {where}.tenant: LookupError: no tenant 7"
    assert (done["state"], done["errortype"]) == ("failed", "application")
    assert not called
    (done,) = await until_finished(client, "p")
    assert done["errormessage"] == f"middleware {where}.closing: OSError: cannot close"


async def test_events_are_told_once_each_outcome_is_accepted(client, start) -> None:
    told: list[tuple[str, str, str]] = []
    own: list[str] = []

    async def note(event: Event) -> None:
        told.append((event.name, event.queue, event.message))

    @on_failed
    def broken(event: Event) -> None:
        raise RuntimeError("a hook's own trouble changes nothing")

    @handler("q", retry={ZeroDivisionError: Backoff("0s", attempts=2)})
    async def work(payload: dict, item: Item) -> None:
        kind = payload["kind"]
        if kind == "business":
            raise BusinessError("no")
        if kind == "once" and item.attempt == 1:
            raise RuntimeError("first")
        if kind == "spent":
            raise ZeroDivisionError("over")

    @handler("p", on_exhausted=lambda event: own.append(event.item_id))
    async def other(payload: dict) -> None:
        raise RuntimeError("always")

    await create_queue(client, "q", maxretries=5)
    await create_queue(client, "p", maxretries=2)
    for kind in ("fine", "business", "once", "spent"):
        await client.push_workitem("q", {"kind": kind})
    pushed = await client.push_workitem("p", {})
    hooks = [
        mark(note)
        for mark in (
            on_start,
            on_success,
            on_retry,
            on_failed,
            on_exhausted,
            on_connected,
            on_shutdown,
        )
    ]
    daemon = await start(Application.of(work, other, broken, *hooks))
    await until_finished(client, "q", 4)
    await until_finished(client, "p", 1)
    await until_idle(daemon)
    await daemon.stop()
    names = [name for name, queue, _ in told if queue == "q"]
    counted = {name: names.count(name) for name in set(names)}
    assert counted == {"success": 2, "failed": 2, "retry": 2, "exhausted": 1}
    assert [name for name, queue, _ in told if queue == "p"] == ["retry", "failed", "exhausted"]
    assert own == [pushed.id]
    worker_events = {name for name, queue, _ in told if not queue}
    assert worker_events == {"start", "connected", "shutdown"}


async def test_a_lost_link_is_told(client, start, server) -> None:
    from worker import on_disconnected

    lost = asyncio.Event()

    @on_disconnected
    async def note(event: Event) -> None:
        lost.set()

    @handler("q")
    async def work(payload: dict) -> None: ...

    await create_queue(client, "q")
    await start(Application.of(work, note))
    await server.stop()
    async with asyncio.timeout(60):
        await lost.wait()
