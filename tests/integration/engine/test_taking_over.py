"""Taking over what the dead left: nothing and nobody keeps an item for ever, or the others up."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from tests.integration.engine.conftest import create_queue, settings_for
from worker.engine.delivery.delivery import Delivery
from worker.engine.delivery.fence import closing_claim, run_of
from worker.engine.delivery.writeback import WriteBack
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.fleet.presence import Claimed, Peer, WorkerInfo
from worker.engine.fleet.recovery import Recovery
from worker.engine.fleet.rescuer import Rescuer, RescueTimes
from worker.engine.fleet.takeover import TakeOver
from worker.engine.outbox.outbox import Outbox
from worker.engine.outbox.spool import Spool
from worker.item.outcome import Outcome
from worker.localserver import LocalServer
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.openiap.pool import Pool
from worker.openiap.values import iso
from worker.openiap.workitem import MOST_FILES, Workitem, WorkitemFile
from worker.telemetry.counts import Counts
from worker.telemetry.log import Log
from worker.uptime import uptime

DONE = Outcome("successful", {"done": 1})
LATER = 1.2
"""Seconds; runs that are closer than this in time may be one and the same (official client)."""


class Line:
    """One signed-in client in the place of a pool."""

    ready = True
    epoch = 1

    def __init__(self, client: Client) -> None:
        self._client = client

    async def wait_ready(self) -> None: ...

    async def call(self, operation: Callable[[Client], Awaitable[Any]], *, turn: str = "") -> Any:
        return await operation(self._client)


class Others:
    """What is told of the workers."""

    usable = True

    def __init__(self, me: str, peers: Sequence[Peer], claims: Sequence[Claimed] = ()) -> None:
        self.me = WorkerInfo(me, "1", {"q": 1})
        self._peers = list(peers)
        self._claims = list(claims)

    @property
    def server_time(self) -> datetime:
        return datetime.now(UTC)

    def server_now(self) -> datetime:
        return datetime.now(UTC)

    def steady(self) -> float:
        return 1e6

    def worked(self) -> None:
        """Nobody here asks who works."""

    async def peers(self) -> list[Peer]:
        return self._peers

    async def previous_claims(self) -> list[Claimed]:
        return self._claims

    async def is_dead(self, name: str, lock: str, *, wait: bool) -> bool:
        return True


def log() -> Log:
    return Log("error", write=lambda level, line: None)


@pytest.fixture
async def native(server: LocalServer, tmp_path: Path) -> AsyncIterator[Client]:
    """The client that can check and claim in one step."""
    door = make_client(settings_for(server.ws_url, tmp_path / "native", client="native"))
    await door.connect()
    await create_queue(door, "q")
    yield door
    await door.disconnect()


def writeback(client: Client, name: str) -> WriteBack:
    return WriteBack(cast(Pool, Line(client)), worker_id=name, lease=60, log=log())


def rescuer(client: Client, me: str, *peers: Peer, unclaimed_after: float = 0.0) -> Rescuer:
    pool = cast(Pool, Line(client))
    take_over = TakeOver(pool, writeback(client, me), worker_id=me, max_deaths=3, log=log())
    return Rescuer(
        ["q"],
        heartbeat=cast(Heartbeat, Others(me, peers)),
        take_over=take_over,
        own=lambda: (),
        pool=pool,
        times=RescueTimes(30, 45, unclaimed_after),
        counts=Counts(),
        log=log(),
        chance=Random(1),
    )


def recovery_of(
    client: Client,
    outbox: Outbox,
    folder: Path,
    *,
    claims: Sequence[Claimed] = (),
    start_within: float = 60.0,
) -> Recovery:
    """Return the recovery of a worker called "me", of whose presence only its claims are known."""
    delivers = writeback(client, "me")
    return Recovery(
        outbox,
        Spool(folder / "spool"),
        cast(Heartbeat, Others("me", (), claims)),
        delivers,
        TakeOver(cast(Pool, Line(client)), delivers, worker_id="me", max_deaths=3, log=log()),
        log=log(),
        start_within=start_within,
    )


async def popped(client: Client) -> Workitem:
    item = await client.pop_workitem("q")
    assert item is not None
    return item


async def document_of(client: Client, item: Workitem) -> dict[str, Any]:
    (document,) = await client.query("workitems", {"_id": item.id})
    return document


async def one_later(client: Client, item: Workitem) -> Workitem:
    """Pop the item again, as a run that cannot be taken for the first."""
    document = await document_of(client, item)
    early = datetime.now(UTC) - timedelta(seconds=LATER)
    item.lastrun = early
    assert document["state"] == "new"
    again = await popped(client)
    assert (again.id, again.retries) == (item.id, item.retries)
    return again


async def test_a_handing_back_that_is_sent_again_does_not_shut_out_the_next_owner(native) -> None:
    await native.push_workitem("q", {})
    first, second = writeback(native, "first"), writeback(native, "second")
    item = await popped(native)
    back = Delivery(item, Outcome("released"), uptime(), 1)
    assert (await first.deliver(back)).result == "applied"
    again = await one_later(native, item)
    # The first worker died before it noted the answer, and its next life sends once more.
    replay = Delivery(item, Outcome("released"), sent=True, over=("first",))
    assert (await first.deliver(replay)).result == "fenced"
    assert (await second.deliver(Delivery(again, DONE))).result == "applied"
    assert (await document_of(native, item))["state"] == "successful"


async def test_the_claim_of_an_earlier_run_does_not_shut_out_the_owner_of_this_one(native) -> None:
    await native.push_workitem("q", {})
    item = await popped(native)
    await writeback(native, "first").deliver(Delivery(item, Outcome("business", None, "no")))
    document = await document_of(native, item)
    past = iso(datetime.now(UTC) - timedelta(seconds=1))
    # As a person does it in OpenIAP's own pages.
    await native.update_one(
        "workitems", {**document, "state": "new", "retries": 0, "nextrun": past}
    )
    again = await popped(native)
    delivered = await writeback(native, "second").deliver(Delivery(again, DONE))
    assert delivered.result == "applied"


@pytest.mark.parametrize("claimed", [True, False])
async def test_an_item_is_rescued_although_a_rescuer_died_over_it(native, claimed: bool) -> None:
    await native.push_workitem("q", {})
    item = await popped(native)
    run = run_of(await document_of(native, item))
    claim = closing_claim(item.id, 0, run, "dead-rescuer")
    assert (await native.update_document("workitems", *claim)).matched == 1
    dead = Peer("owner", "host", 1, "1", ("q",), 60, frozenset({(item.id, 0)} if claimed else ()))
    looking = rescuer(native, "heir", dead, unclaimed_after=0.001)
    assert await looking.rescue() == 1
    assert (await document_of(native, item))["state"] == "new"


async def test_items_that_nobody_may_take_do_not_hide_those_of_the_dead(native) -> None:
    before = datetime.now(UTC) - timedelta(hours=1)
    foreign = [
        {
            "_type": "workitem",
            "name": str(n),
            "wiq": "q",
            "state": "processing",
            "retries": 0,
            "payload": {},
            "priority": 2,
            "lastrun": iso(before),
        }
        for n in range(600)
    ]
    await native.insert_many("workitems", foreign)
    await native.push_workitem("q", {})
    item = await popped(native)
    dead = Peer("owner", "host", 1, "1", ("q",), 60, frozenset({(item.id, 0)}))
    assert await rescuer(native, "heir", dead).rescue() == 1


async def test_an_orphan_that_the_server_will_not_change_does_not_hold_up_the_others(
    server: LocalServer, native
) -> None:
    await native.push_workitem("q", {})
    await native.push_workitem("q", {})
    items = [await popped(native), await popped(native)]
    claims = frozenset((item.id, 0) for item in items)
    looking = rescuer(native, "heir", Peer("owner", "host", 1, "1", ("q",), 60, claims))
    # The count of its deaths, and then the conditional update that hands it back.
    server.faults.refuse |= {"updatedocument": 1}
    assert await looking.rescue() == 1
    assert await looking.rescue() == 1
    assert [(await document_of(native, item))["state"] for item in items] == ["new", "new"]


async def test_an_outcome_that_the_server_will_not_have_does_not_hold_up_the_start(
    server: LocalServer, native, tmp_path: Path
) -> None:
    await native.push_workitem("q", {})
    item = await popped(native)
    before = await Outbox.open(tmp_path, "me", sync="normal", keep_evidence_days=1)
    await before.popped(item, datetime.now(UTC))
    await before.finished(item.id, 0, DONE)
    await before.close()
    outbox = await Outbox.open(tmp_path, "me", sync="normal", keep_evidence_days=1)
    recovery = recovery_of(native, outbox, tmp_path, start_within=0.2)
    # Until it is told otherwise.
    server.faults.refuse |= {"updateworkitem": 1_000_000, "updatedocument": 1_000_000}
    async with asyncio.timeout(60):
        await recovery.run()
        assert (await document_of(native, item))["state"] == "processing"
        tried = server.stats["updateworkitem"]
        while server.stats["updateworkitem"] <= tried:  # it is tried on beside the work
            await asyncio.sleep(0.02)
        assert outbox.size() == 1
        server.faults.refuse.clear()
        while outbox.size():
            await asyncio.sleep(0.02)
    assert (await document_of(native, item))["state"] == "successful"
    await recovery.stop()
    await outbox.close()


async def test_deaths_are_counted_without_the_rights_for_heartbeats_too(
    server: LocalServer, native, tmp_path: Path
) -> None:
    server.faults.refuse_collections = {"openiap_workers"}
    await create_queue(native, "patient", maxretries=100)
    await native.push_workitem("patient", {})
    ended = []
    for _ in range(3):
        item = await native.pop_workitem("patient")
        assert item is not None
        await died_over(tmp_path, item)
        outbox = await Outbox.open(tmp_path, "me", sync="normal", keep_evidence_days=1)
        recovery = recovery_of(native, outbox, tmp_path)
        await recovery.run()
        ended.append((await document_of(native, item))["state"])
        await recovery.stop()
        await outbox.close()
    assert ended == ["new", "new", "failed"]


async def test_the_outcome_of_a_dead_sibling_is_sent_with_its_files(
    server: LocalServer, native, tmp_path: Path
) -> None:
    await native.push_workitem("q", {})
    item = await popped(native)
    sibling = await Outbox.open(tmp_path, "sibling", sync="normal", keep_evidence_days=1)
    spool = Spool(tmp_path / "siblings spool")
    report = spool.keep(b"all well", "report.txt", item.id, 0)
    await sibling.popped(item, datetime.now(UTC))
    done = replace(DONE, attachments=(("report.txt", str(report)),))
    await sibling.finished(item.id, 0, done)
    await sibling.close()
    outbox = await Outbox.open(tmp_path, "me", sync="normal", keep_evidence_days=1)
    recovery = recovery_of(native, outbox, tmp_path)
    server.faults.refuse["upload"] = 1_000_000  # until it is told otherwise
    async with asyncio.timeout(60):
        begins = asyncio.create_task(recovery.run())
        while not server.stats.get("upload"):
            await asyncio.sleep(0.02)
        spool.sweep()  # the sibling begins again, and tidies up
        server.faults.refuse.clear()
        await begins
    found = await document_of(native, item)
    assert (found["state"], found["retries"]) == ("successful", 0)
    assert [file["filename"] for file in found["files"]] == ["report.txt"]
    assert outbox.size() == 0
    await recovery.stop()
    await outbox.close()


async def died_over(folder: Path, item: Workitem) -> None:
    """Let a process record a pop and die."""
    code = (
        "import asyncio, os, sys\n"
        "from datetime import UTC, datetime\n"
        "from pathlib import Path\n"
        "from worker.openiap.workitem import Workitem\n"
        "from worker.engine.outbox.outbox import Outbox\n"
        "async def main():\n"
        "    o = await Outbox.open(Path(sys.argv[1]), 'me', sync='normal', keep_evidence_days=1)\n"
        "    id, retries = sys.argv[2], int(sys.argv[3])\n"
        "    when = datetime.fromisoformat(sys.argv[4])\n"
        "    item = Workitem(id, retries=retries, wiq='patient', payload=None, lastrun=when)\n"
        "    await o.popped(item, datetime.now(UTC))\n"
        "    os._exit(9)\n"
        "asyncio.run(main())\n"
    )
    assert item.lastrun is not None
    arguments = (str(folder), item.id, str(item.retries), item.lastrun.isoformat())
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, *arguments)
    async with asyncio.timeout(60):
        assert await process.wait() == 9


async def test_the_claim_holds_on_a_server_that_loses_alternatives_beside_an_id(
    server: LocalServer, native
) -> None:
    server.faults.or_beside_id_is_lost = True
    await native.push_workitem("q", {})
    item = await popped(native)
    run = run_of(await document_of(native, item))
    first = await native.update_document("workitems", *closing_claim(item.id, 0, run, "rescuer"))
    second = await native.update_document(
        "workitems", *closing_claim(item.id, 0, run, "late writer")
    )
    assert (first.matched, second.matched) == (1, 0)


async def test_an_item_of_so_many_files_that_its_pop_gets_lost_ends_with_the_reason(
    server: LocalServer, native: Client, client: Client, client_name: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    id = await native.upload(tmp_path / "a.txt")
    pushed = await native.push_workitem("q", {}, files=[WorkitemFile("a0", id)])
    await popped(native)
    document = (await native.query("workitems", {"_id": pushed.id}))[0]
    files = [{"name": f"a{n}", "filename": f"a{n}", "_id": id} for n in range(MOST_FILES + 1)]
    await native.update_one("workitems", {**document, "files": files})
    assert await rescuer(client, "me", unclaimed_after=0.001).rescue() == 1
    (after,) = await native.query("workitems", {"_id": pushed.id})
    if client_name == "native":
        assert after["state"] == "new"
        return
    assert after["state"] == "failed"
    assert after["errormessage"] == (
        "the item names more than 1,000 files, which the official client fetches in the pop, and"
        " its answer did not come in time; work it with the native client, or put the files into an"
        " archive (ended by me)"
    )
