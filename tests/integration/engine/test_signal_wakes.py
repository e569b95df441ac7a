"""Waiting items are woken: by whom, after what, and never where they do not wait any more."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.conftest import CLIENTS
from tests.integration.management.failures import (
    INVOKE,
    ORDINARY,
    PASSWORD,
    READ,
    UPDATE,
    queue_for,
)
from worker import Client, Item, handler
from worker.engine.awaiting.waker import SignalWaker, Told
from worker.engine.awaiting.wakes import SignalWakes
from worker.engine.maintenance.signal_sweep import SignalSweep
from worker.item.cancelled import note_of
from worker.item.history import FIELD, history_of
from worker.item.outcome import WAITS
from worker.item.signals import COLLECTION
from worker.localserver import ServerOptions
from worker.localserver.protocol import commands, http
from worker.openiap.values import iso
from worker.openiap.workitem import NEW
from worker.producer.producer import Producer
from worker.telemetry.log import Log
from worker.testing import LocalOpenIAP
from worker.testing.doubles import ClientPool

SELDOM = 600.0
"""Seconds between polls: nothing here happens by one."""


@pytest.fixture(params=CLIENTS)
async def openiap(request, tmp_path: Path) -> AsyncIterator[LocalOpenIAP]:
    async with LocalOpenIAP(tmp_path / "openiap", client=request.param) as running:
        yield running


@handler("q", concurrency=4)
async def scans(payload: dict, item: Item) -> dict:
    return {"scan": await item.wait_for("scan", timeout="1h")}


async def test_one_of_several_workers_wakes_without_a_poll(openiap: LocalOpenIAP) -> None:
    for number in range(3):
        await openiap.start_worker(scans, worker_id=f"w{number}", poll_interval=SELDOM)
    id = await openiap.push(scans)
    await openiap.waiting(id)
    before = openiap.server.stats
    await openiap.signal(id, "scan", "dock")
    done = await openiap.ended(id, jump=False)
    assert done.payload == {"scan": "dock"}
    told = {kind: count - before.get(kind, 0) for kind, count in openiap.server.stats.items()}
    # The next in line wakes as well where the first takes a second for it; the third never does.
    if openiap.client_name == "official":
        assert told["insertone"] in (2, 3), "the signal, and who wakes"
    else:
        assert told["updatedocument"] in (3, 4), "the wake, the scan that was taken, the outcome"
    entries = history_of(id, done.document.get(FIELD)).entries
    assert [(one.what, one.by, one.why) for one in entries if one.what == "signalled"] == [
        ("signalled", "tester", "scan")
    ]


async def test_a_signal_that_comes_while_the_item_is_put_back_is_heard(
    openiap: LocalOpenIAP,
) -> None:
    @handler("q")
    async def told_meanwhile(payload: dict, item: Item, client: Client) -> dict:
        async def tell() -> None:
            while item.awaited is None:
                await asyncio.sleep(0.005)
            await openiap.producer.signal(item.id, "scan", "dock")
            await asyncio.sleep(0.2)  # it is told of before the item waits

        async with asyncio.TaskGroup() as group:
            scan = group.create_task(item.wait_for("scan", timeout="1h"))
            group.create_task(item.step("tell", tell))
        return {"scan": scan.result()}

    await openiap.start_worker(told_meanwhile, poll_interval=SELDOM)
    id = await openiap.push(told_meanwhile)
    done = await openiap.ended(id, jump=False)
    assert (done.payload, done.attempts) == ({"scan": "dock"}, 1)


async def test_what_was_said_while_the_link_was_away_is_heard(
    openiap: LocalOpenIAP, monkeypatch
) -> None:
    looked, look = asyncio.Event(), SignalWakes._look

    async def noted(self: SignalWakes, query: Any, *more: Any) -> None:
        await look(self, query, *more)
        if query["item"] != {"$gt": ""}:
            looked.set()

    with monkeypatch.context() as patched:
        patched.setattr(SignalWakes, "_look", noted)
        await openiap.start_worker(scans, poll_interval=SELDOM)
        id = await openiap.push(scans)
        await looked.wait()
    monkeypatch.setattr(openiap.server.services.changes, "publish", lambda *_: None)
    form = {"item": id, "name": "scan", "value": 7}
    await openiap.client.insert_one(COLLECTION, form)
    monkeypatch.undo()
    assert openiap.item(id).waits, "nobody was told of it"
    await openiap.cut_links()
    assert (await openiap.ended(id, jump=False)).payload == {"scan": 7}


async def test_without_a_watch_it_is_heard_at_the_pace_of_polls(
    openiap: LocalOpenIAP, monkeypatch
) -> None:
    told = commands.configuration

    def without(options: ServerOptions) -> dict[str, Any]:
        return {**told(options), "supports_watch": False}

    for room in (commands, http):
        monkeypatch.setattr(room, "configuration", without)
    await openiap.start_worker(scans, poll_interval=0.2)
    id = await openiap.push(scans)
    await openiap.waiting(id)
    await openiap.signal(id, "scan", "dock")
    assert (await openiap.ended(id, jump=False)).payload == {"scan": "dock"}


async def parked(openiap: LocalOpenIAP, *, due: timedelta, **waits: Any) -> str:
    """Push an item that looks as if it waited for a scan; returns its id."""
    openiap.queue("q")
    id = await openiap.push("q")
    (document,) = await openiap.client.query("workitems", {"_id": id})
    until = iso(datetime.now(UTC) + due)
    mark = {"why": "waits", "until": until, "signals": ["scan"], "past": ["old"], **waits}
    await openiap.client.update_one("workitems", {**document, "nextrun": until, WAITS: mark})
    return id


def waker(openiap: LocalOpenIAP, name: str) -> SignalWaker:
    return SignalWaker(
        ClientPool(openiap.client), worker_id=name, now=lambda: datetime.now(UTC), history=20
    )


async def test_an_item_is_woken_that_waits_and_by_one_worker(openiap: LocalOpenIAP) -> None:
    day = timedelta(days=1)
    id = await parked(openiap, due=day)
    one, other = waker(openiap, "one"), waker(openiap, "other")
    for told, queues in (
        (Told("s", id, "another"), ["q"]),
        (Told("old", id, "scan"), ["q"]),
        (Told("s", id, "scan"), ["p"]),
        (Told("s", "65f2c1d4a0b1c2d3e4f50617", "scan"), ["q"]),
    ):
        assert not await one.wake(told, queues)
    assert openiap.item(id).waits
    assert await one.wake(Told("s", id, "scan", by="Ada"), ["p", "q"])
    popped = await openiap.client.pop_workitem("q")
    assert popped is not None
    assert popped.id == id
    assert not await other.wake(Told("s", id, "scan"), ["q"])
    assert openiap.item(id).state == "processing"


async def test_with_the_official_client_nothing_is_pulled_back(tmp_path: Path) -> None:
    async with LocalOpenIAP(tmp_path / "openiap", client="official") as openiap:
        day = timedelta(days=1)
        one, other = waker(openiap, "one"), waker(openiap, "other")
        soon = await parked(openiap, due=timedelta(seconds=20))
        assert not await one.wake(Told("s", soon, "scan"), ["q"]), "it is due by itself"
        id = await parked(openiap, due=day)
        claim = {"_id": f"wake-{id}-0-1", "by": "other", "life": "x", "wakes": id}
        await openiap.client.insert_one(COLLECTION, claim)
        assert not await one.wake(Told("s", id, "scan"), ["q"]), "another one wakes it"
        assert openiap.item(id).waits
        assert await other.wake(Told("s", id, "scan"), ["q"]), "its own earlier life is over"
        assert openiap.item(id).state == NEW
        assert not openiap.item(id).waits


class Fleet:
    def server_now(self) -> datetime:
        return datetime.now(UTC)

    def rank(self, queue: str) -> int | None:
        return 0

    async def peers(self) -> list[object]:
        return []


async def test_signals_go_with_their_item(openiap: LocalOpenIAP) -> None:
    client, producer = openiap.client, Producer(openiap.producer.sender)
    ids = {name: await openiap.push("q", {"name": name}) for name in ("done", "failed", "new")}
    for id in ids.values():
        await producer.signal(id, "scan", 1)
    await client.insert_one(COLLECTION, {"_id": "s", "item": "gone", "name": "scan"})
    await client.insert_one(COLLECTION, {"_id": "w", "wakes": ids["done"]})
    await client.insert_one(COLLECTION, note_of({"_id": ids["new"], "wiq": "q"}))
    for name, state in (("done", "successful"), ("failed", "failed")):
        (document,) = await client.query("workitems", {"_id": ids[name]})
        await client.update_one("workitems", {**document, "state": state})
    sweep = SignalSweep(
        ["q"], client=client, fleet=Fleet(), log=Log("error"), chance=random.Random()
    )

    async def left() -> set[str]:
        found = await client.query(COLLECTION, {})
        named = {one["item"] for one in found if "item" in one}
        return {name for name, id in [*ids.items(), ("gone", "gone")] if id in named}

    now = datetime.now(UTC)
    assert await sweep.sweep(now) == 0
    assert await sweep.sweep(now + timedelta(hours=2)) == 3, "the note as well"
    assert await left() == {"failed", "new", "gone"}
    assert await sweep.sweep(now + timedelta(days=8)) == 1
    assert await left() == {"failed", "new"}


async def test_a_worker_with_the_rights_of_its_queue_alone_hears_what_it_is_told(
    tmp_path: Path,
) -> None:
    users = {ORDINARY: PASSWORD}
    async with LocalOpenIAP(tmp_path / "openiap", plain_users=users) as openiap:
        await queue_for(openiap, "q", READ + UPDATE + INVOKE)
        robot = {"username": ORDINARY, "password": PASSWORD}
        await openiap.start_worker(scans, poll_interval=SELDOM, **robot)
        told, alone = await openiap.push(scans), await openiap.push(scans)
        await openiap.waiting(told)
        await openiap.waiting(alone)
        form = {"item": alone, "name": "scan", "value": "nobody's"}
        await openiap.client.insert_one(COLLECTION, form)
        await openiap.signal(told, "scan", "dock")
        assert (await openiap.ended(told, jump=False)).payload == {"scan": "dock"}
        assert openiap.item(alone).waits, "this signal is not for the worker to see"


async def test_who_may_not_write_documents_waits_at_the_cost_of_attempts(tmp_path: Path) -> None:
    users = {ORDINARY: PASSWORD}
    async with LocalOpenIAP(tmp_path / "openiap", plain_users=users) as openiap:
        await queue_for(openiap, "q", READ + INVOKE)
        robot = {"username": ORDINARY, "password": PASSWORD, "log_level": "error"}
        await openiap.start_worker(scans, **robot)
        id = await openiap.push(scans)
        pushed = openiap.clock()
        openiap_signal = openiap.producer.signal(id, "scan", "dock")
        while openiap.item(id).attempts == 0:
            await asyncio.sleep(0.01)
        await openiap_signal
        done = await openiap.ended(id)
        assert done.payload == {"scan": "dock"}
        assert openiap.clock() - pushed < 120
