"""A paused queue is popped by nobody; who may pause it is for the server to say."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.management.failures import INVOKE, READ, UPDATE, queue_for
from worker import handler
from worker.engine.pause import PAUSE
from worker.localserver.operations.options import ServerOptions
from worker.localserver.protocol import commands, http
from worker.management.errors import ForbiddenError, ValidationError
from worker.management.queues.errors import QueueNotFoundError
from worker.management.queues.service import Queues
from worker.management.queues.types import (
    QueueGetPayload,
    QueuePausePayload,
    QueueResumePayload,
    QueuesGetListPayload,
)
from worker.openiap.client import Client
from worker.openiap.workitem import JsonObject
from worker.testing.local_openiap import LocalOpenIAP

DEADLINE = 60.0


class Work:
    """A handler that tells what it began, and ends when it may."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

        @handler("orders", concurrency=2)
        async def orders(payload: dict[str, Any]) -> None:
            self.began.append(payload["n"])
            await self.may_end.wait()

        self.handler = orders


async def until(holds: Callable[[], bool], within: float = DEADLINE) -> None:
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.01)


async def until_asked(holds: Callable[[], Awaitable[bool]], within: float = DEADLINE) -> None:
    async with asyncio.timeout(within):
        while not await holds():
            await asyncio.sleep(0.01)


async def quiet_for(work: Work, seconds: float = 0.6) -> None:
    """Poll intervals and wake-ups go by, and nothing begins."""
    before = list(work.began)
    await asyncio.sleep(seconds)
    assert work.began == before


@pytest.fixture
def work() -> Work:
    return Work()


async def test_a_paused_queue_is_not_popped_and_what_runs_goes_on(
    openiap: LocalOpenIAP, client: Client, work: Work
) -> None:
    openiap.queue("orders")
    # No heartbeat tells of it: the watch does.
    daemon = await openiap.start_worker(
        work.handler, health_port=0, heartbeat_interval=4 * DEADLINE, dead_after=3600
    )
    queues = Queues(client)
    work.may_end.clear()
    await openiap.push("orders", {"n": 1})
    await until(lambda: work.began == [1])
    paused = await queues.pause_one(QueuePausePayload(name="orders", reason="the bank is shut"))
    assert paused.paused is not None
    assert paused.paused.reason == "the bank is shut"
    port = daemon.telemetry.health.port if daemon.telemetry.health else 0
    pages = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(trust_env=False) as http:

        async def said() -> JsonObject:
            found: JsonObject = (await http.get(f"{pages}/readyz")).json()
            return found

        async def is_known() -> bool:
            return "paused" in await said()

        await until_asked(is_known)
        await openiap.push("orders", {"n": 2})
        await quiet_for(work)
        work.may_end.set()
        await until(lambda: openiap.items("orders")[0].state == "successful")
        await quiet_for(work)
        answer = await http.get(f"{pages}/readyz")
        assert answer.status_code == 200
        assert answer.json() == {
            "status": "ready",
            "paused": {"orders": "paused by tester until it is resumed: the bank is shut"},
        }
        await until_asked(lambda: _scaled(http, pages, waiting=1))
        scale = (await http.get(f"{pages}/scale?queue=orders")).json()
        assert (scale["waiting"], scale["wished"]) == (1, 0)
        assert "the bank is shut" in scale["paused"]
        metrics = (await http.get(f"{pages}/metrics")).text
        assert 'openiap_worker_queue_paused{queue="orders"} 1.0' in metrics
        assert "openiap_worker_paused_queues 1.0" in metrics
        listed = await queues.get_list(QueuesGetListPayload())
        assert [queue.paused is not None for queue in listed] == [True]
        resumed = await queues.resume_one(QueueResumePayload(name="orders"))
        assert resumed.paused is None
        await until(lambda: work.began == [1, 2])
        await openiap.settled(timeout=DEADLINE)
        assert (await http.get(f"{pages}/readyz")).json() == {"status": "ready"}
        assert (await http.get(f"{pages}/scale?queue=orders")).json()["paused"] is None


async def _scaled(http: httpx.AsyncClient, pages: str, waiting: int) -> bool:
    return bool((await http.get(f"{pages}/scale?queue=orders")).json().get("waiting") == waiting)


async def test_a_pause_survives_restarts_of_workers(openiap: LocalOpenIAP, work: Work) -> None:
    openiap.queue("orders")
    await Queues(openiap.client).pause_one(QueuePausePayload(name="orders"))
    await openiap.push("orders", {"n": 1})
    await openiap.start_worker(work.handler)
    await quiet_for(work)
    await Queues(openiap.client).resume_one(QueueResumePayload(name="orders"))
    await until(lambda: work.began == [1])


async def test_a_pause_ends_by_itself_by_the_servers_clock(
    openiap: LocalOpenIAP, work: Work
) -> None:
    openiap.queue("orders")
    await openiap.start_worker(work.handler)
    await Queues(openiap.client).pause_one(QueuePausePayload(name="orders", seconds=7200))
    await openiap.push("orders", {"n": 1})
    await quiet_for(work)
    await openiap.advance("1h")
    await quiet_for(work)
    await openiap.advance("1h")
    await until(lambda: work.began == [1])
    (queue,) = await Queues(openiap.client).get_list(QueuesGetListPayload())
    assert queue.name == "orders"


async def test_without_a_watch_a_pause_is_known_within_a_heartbeat(
    tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = commands.configuration

    def without(options: ServerOptions) -> dict[str, Any]:
        return {**told(options), "supports_watch": False}

    for room in (commands, http):
        monkeypatch.setattr(room, "configuration", without)
    async with LocalOpenIAP(tmp_path / "openiap") as openiap:
        openiap.queue("orders")
        daemon = await openiap.start_worker(work.handler)
        for switch, paused in ((Queues.pause_one, 1), (Queues.resume_one, 0)):
            asked = {1: QueuePausePayload, 0: QueueResumePayload}[paused](name="orders")
            await switch(Queues(openiap.client), asked)  # type: ignore[arg-type]
            await until(
                lambda: dict(daemon.telemetry.counts.worker())["paused_queues"] == paused,  # noqa: B023
            )


@pytest.mark.parametrize("rights", [READ + INVOKE, READ + INVOKE + UPDATE])
async def test_who_may_update_a_queue_may_pause_it_and_nobody_else(
    openiap: LocalOpenIAP, ordinary: Client, rights: int
) -> None:
    await queue_for(openiap, "orders", rights)
    queues, payload = Queues(ordinary), QueuePausePayload(name="orders", reason="mine")
    if rights & UPDATE:
        assert (await queues.pause_one(payload)).paused is not None
        assert (await queues.resume_one(QueueResumePayload(name="orders"))).paused is None
        return
    with pytest.raises(ForbiddenError, match=r"lacks the right to update it"):
        await queues.pause_one(payload)
    with pytest.raises(QueueNotFoundError):
        await queues.pause_one(QueuePausePayload(name="others"))
    shown = await Queues(openiap.client).get_one(QueueGetPayload(name="orders"))
    assert shown.paused is None


async def test_what_anybody_stored_under_a_queues_name_pauses_nothing(
    openiap: LocalOpenIAP, ordinary: Client, work: Work
) -> None:
    await queue_for(openiap, "orders", READ + INVOKE)
    (genuine,) = await openiap.client.query("mq", {"name": "orders"})
    forged: JsonObject = {
        **{name: genuine[name] for name in ("_type", "name", "maxretries", "_acl")},
        PAUSE: {"reason": "forged", "by": "tester"},
    }
    await ordinary.insert_one("mq", forged)
    daemon = await openiap.start_worker(work.handler)
    await openiap.push("orders", {"n": 1})
    await until(lambda: work.began == [1])
    twin = await ordinary.insert_one("mq", {**forged, "_created": "2000-01-01T00:00:00.000Z"})
    await ordinary.update_document("mq", {"_id": twin["_id"]}, {"$set": {"x": 1}})
    await openiap.push("orders", {"n": 2})
    await until(lambda: work.began == [1, 2])
    assert daemon.telemetry.misfits.count > 0
    (shown,) = await Queues(openiap.client).get_list(QueuesGetListPayload())
    assert (shown.id, shown.paused) == (genuine["_id"], None)


async def test_a_queue_made_anew_under_its_name_is_not_paused(
    openiap: LocalOpenIAP, work: Work
) -> None:
    openiap.queue("orders")
    await openiap.start_worker(work.handler)
    await Queues(openiap.client).pause_one(QueuePausePayload(name="orders"))
    await quiet_for(work, 0.3)
    await openiap.client.delete_workitem_queue("orders", purge=True)
    openiap.queue("orders")
    await openiap.push("orders", {"n": 1})
    await until(lambda: work.began == [1])


async def test_an_end_that_is_over_is_refused(openiap: LocalOpenIAP) -> None:
    openiap.queue("orders")
    over = datetime.now(UTC) - timedelta(minutes=1)
    with pytest.raises(ValidationError, match="would be over"):
        await Queues(openiap.client).pause_one(QueuePausePayload(name="orders", until=over))
    with pytest.raises(ValidationError, match="give one of them"):
        await Queues(openiap.client).pause_one(
            QueuePausePayload(name="orders", until=over + timedelta(days=1), seconds=5)
        )
    (stored,) = await openiap.client.query("mq", {"name": "orders"})
    assert PAUSE not in stored
