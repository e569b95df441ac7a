"""One living worker has a name, however many are given it; nobody takes another one's items."""

import asyncio
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.conftest import DEADLINE, create_queue, until_finished
from worker import handler
from worker.app.options import Handler
from worker.engine.daemon import Daemon
from worker.engine.fleet.own_name import NameTaken, OwnName
from worker.engine.fleet.presence import COLLECTION, WorkerInfo, document_of
from worker.engine.outbox.identity import DIRECTORY_ID
from worker.errors import StateError
from worker.openiap.client import Client
from worker.settings import Settings
from worker.telemetry.log import Log
from worker.testing.doubles import ClientPool

QUICK = {
    "worker_id": "blue",
    "heartbeat_interval": 0.3,
    "dead_after": 3.0,
    "rescue_interval": 0.3,
    "cancel_timeout": 0.2,
    "drain_timeout": 0.0,
}


class Held:
    """Handlers that end when the test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = asyncio.Event()

    def handler(self, who: str) -> Handler[..., Any]:
        @handler("q")
        async def work(payload: dict) -> dict:
            self.begun.append(who)
            await self.go.wait()
            return {"by": who}

        return work


@pytest.fixture
def held() -> Iterable[Held]:
    made = Held()
    yield made
    made.go.set()


def elsewhere(settings: Settings, name: str) -> Path:
    return settings.state_dir.parent / name


async def claimed(client: Client, item_id: str, worker_id: str = "blue") -> None:
    """Wait until a worker's document claims an item."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await client.query(COLLECTION, {"_id": worker_id})
            if found and item_id in [item["id"] for item in found[0]["items"]]:
                return
            await asyncio.sleep(0.02)


async def lost(daemon: Daemon) -> None:
    """End a worker as a SIGKILL does: without a word to the server, its locks free."""
    parts = daemon._parts
    assert parts is not None
    parts.heartbeat.keep()
    for connection in parts.pool.connections:
        await connection.stop()
    await daemon.stop()


async def test_a_second_worker_of_one_name_is_refused_and_takes_nothing(
    client, settings, start, held
) -> None:
    await create_queue(client, "q", maxretries=5)
    pushed = await client.push_workitem("q", {})
    await start(held.handler("first"), **QUICK)
    await claimed(client, pushed.id)
    with pytest.raises(StateError, match=r"^Worker blue lives on .* \(pid \d+\), with another"):
        await start(
            held.handler("second"), **QUICK, state_dir=elsewhere(settings, "other"), outbox=False
        )
    (document,) = await client.query("workitems", {"_id": pushed.id})
    assert (document["state"], document["retries"]) == ("processing", 0)
    held.go.set()
    (done,) = await until_finished(client, "q")
    assert (done["payload"], done["retries"], held.begun) == ({"by": "first"}, 0, ["first"])


async def test_of_two_that_start_at_one_moment_one_works(client, settings, start, held) -> None:
    await create_queue(client, "q")
    both = await asyncio.gather(
        *(
            start(held.handler(name), **QUICK, state_dir=elsewhere(settings, name))
            for name in ("one", "two")
        ),
        return_exceptions=True,
    )
    refused = [found for found in both if isinstance(found, StateError)]
    assert len(refused) == 1, both
    assert "give each worker a worker_id of its own" in str(refused[0])


@pytest.mark.dear
async def test_a_dead_ones_name_is_taken_once_it_was_silent_for_long_and_with_it_its_items(
    client, settings, start, held
) -> None:
    """The state directory is lost: only silence tells that nobody lives."""
    await create_queue(client, "q", maxretries=5)
    pushed = await client.push_workitem("q", {})
    first = await start(held.handler("first"), **QUICK)
    await claimed(client, pushed.id)
    await lost(first)
    (before,) = await client.query(COLLECTION, {"_id": "blue"})
    late = {**QUICK, "state_dir": elsewhere(settings, "new"), "unclaimed_after": 0}
    async with asyncio.timeout(DEADLINE):
        both = await asyncio.gather(
            start(held.handler("second"), **late),
            start(held.handler("third"), **{**late, "state_dir": elsewhere(settings, "newer")}),
            return_exceptions=True,
        )
    assert len([found for found in both if isinstance(found, StateError)]) == 1, both
    (after,) = await client.query(COLLECTION, {"_id": "blue"})
    assert after["life"] != before["life"]
    heard = [datetime.fromisoformat(d["_modified"]) for d in (before, after)]
    assert heard[1] - heard[0] > timedelta(seconds=QUICK["dead_after"] - 0.5)
    held.go.set()
    (done,) = await until_finished(client, "q")
    assert done["retries"] == 1
    assert held.begun[0] == "first"
    assert len(held.begun) == 2


@pytest.mark.parametrize("outbox", [True, False])
async def test_a_restart_in_place_has_its_items_back_at_once(
    client, settings, start, held, outbox: bool
) -> None:
    await create_queue(client, "q", maxretries=5)
    pushed = await client.push_workitem("q", {})
    patient = {**QUICK, "dead_after": 600.0, "outbox": outbox, "unclaimed_after": 0}
    first = await start(held.handler("first"), **patient)
    await claimed(client, pushed.id)
    await lost(first)
    await start(held.handler("second"), **patient)
    held.go.set()
    (done,) = await until_finished(client, "q")
    # With the outbox it was handed back at the end of the stop; that is on disk, and costs nothing.
    assert (done["payload"], done["retries"]) == ({"by": "second"}, 0 if outbox else 1)


@pytest.mark.dear
@pytest.mark.parametrize("odd", [{}, {"life": {"$gt": ""}, "lock": ["x"]}])
async def test_a_document_that_says_no_life_is_a_dead_ones_once_it_was_silent(
    client, start, held, odd: dict
) -> None:
    """An older version wrote it, or somebody who is no worker."""
    await create_queue(client, "q", maxretries=5)
    await client.push_workitem("q", {})
    item = await client.pop_workitem("q")
    claims = [{"id": item.id, "queue": "q", "retries": 0}]
    document = {"_id": "blue", "_type": "worker", "queues": ["q"], "items": claims, **odd}
    await client.insert_one(COLLECTION, document)
    held.go.set()
    await start(held.handler("new"), **QUICK, unclaimed_after=0)
    (done,) = await until_finished(client, "q")
    assert (done["payload"], done["retries"]) == ({"by": "new"}, 1)


@pytest.mark.dear
async def test_a_copied_state_directory_takes_nothing_from_its_original(
    client, settings, start, held
) -> None:
    """With the names that nobody chose; the copy's next start has another, and spares the rows."""
    await create_queue(client, "q", maxretries=5)
    pushed = await client.push_workitem("q", {})
    unnamed = {**QUICK, "worker_id": ""}
    first = await start(held.handler("first"), **unnamed)
    name = first._events.worker
    await claimed(client, pushed.id, name)
    copy = elsewhere(settings, "copy")
    shutil.copytree(settings.state_dir, copy)
    before = (copy / DIRECTORY_ID).read_text()
    with pytest.raises(StateError, match=r"The next start takes another name\.$"):
        await start(held.handler("second"), **unnamed, state_dir=copy)
    assert (copy / DIRECTORY_ID).read_text() != before
    second = await start(held.handler("second"), **unnamed, state_dir=copy)
    assert second._events.worker != name
    await asyncio.sleep(QUICK["dead_after"])  # so long it would be doubtful whether it lives
    (document,) = await client.query("workitems", {"_id": pushed.id})
    assert (document["state"], document["retries"]) == ("processing", 0)
    held.go.set()
    (done,) = await until_finished(client, "q")
    assert (done["payload"], done["retries"], held.begun) == ({"by": "first"}, 0, ["first"])


async def test_who_finds_another_under_its_name_later_ends_if_it_began_later(
    client, settings, held
) -> None:
    """The other one was cut off for so long that it counted as dead, and is back."""
    await create_queue(client, "q")
    named = settings.model_copy(update=QUICK)
    late = Daemon(named, [held.handler("late")])
    running = asyncio.create_task(late.run(signals=False))
    async with asyncio.timeout(DEADLINE):
        while not (found := await client.query(COLLECTION, {"_id": "blue"})):
            await asyncio.sleep(0.02)
    (mine,) = found
    earlier = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    other = {**mine, "life": "another", "host": "far", "pid": 4711, "started": earlier}
    async with asyncio.timeout(DEADLINE):
        while not running.done():
            await client.update_one(COLLECTION, other)
            await asyncio.sleep(0.02)
    with pytest.raises(StateError, match=r"^Worker blue lives on far \(pid 4711\) as well"):
        running.result()
    (left,) = await client.query(COLLECTION, {"_id": "blue"})
    assert left["life"] == "another", "its document is not this one's to delete"


async def test_a_name_that_another_took_in_the_last_moment_is_not_taken_from_it(client) -> None:
    """It was watched to its end; between that and the taking, a third one took it."""
    left = {"_id": "blue", "_type": "worker", "queues": ["q"], "items": [], "life": "dead"}
    await client.insert_one(COLLECTION, left)
    me = WorkerInfo("blue", "1", {"q": 1}, life="mine", lock="here")
    name = OwnName(me, ClientPool(client), dead_after=60.0, log=Log("error"))
    looks: list[str] = []

    async def watched(_: str, before: dict[str, Any]) -> dict[str, Any] | None:
        looks.append(before["life"])
        if before["life"] == "third":
            return before
        await client.update_one(COLLECTION, {**left, "life": "third", "host": "far", "pid": 1})
        return None

    name._watched = watched  # type: ignore[method-assign]
    with pytest.raises(NameTaken, match="lives on far"):
        await name.take(document_of(me, datetime.now(UTC), (), {}, rounds=0, first=True))
    assert looks == ["dead", "third"]
    (document,) = await client.query(COLLECTION, {"_id": "blue"})
    assert document["life"] == "third"
