"""The times that handlers choose for a retry hold with both clients, within the queue's limits."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.engine.conftest import (
    create_queue,
    until_finished,
    until_idle,
    until_one,
)
from worker import Backoff, Retry, handler
from worker.item.metadata import taken_out
from worker.openiap.client import Client
from worker.openiap.values import parse_iso
from worker.telemetry.log import Log

HOUR = 3600


class Busy(Exception):
    """What the other side says with a time of its own."""


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(Log, "warn", lambda self, message, **fields: said.append(message))
    return said


async def test_a_retry_is_not_begun_before_the_time_that_the_handler_asked_for(
    client: Client, start: Any
) -> None:
    begun: list[float] = []

    @handler("q")
    async def call(payload: dict[str, Any]) -> None:
        begun.append(time.monotonic())
        if len(begun) == 1:
            raise Retry(after=1, reason="429, in a second")

    await create_queue(client, "q")  # its own retrydelay is none
    await client.push_workitem("q", {"a": 1})
    await start(call)
    (done,) = await until_finished(client, "q")
    assert begun[1] - begun[0] >= 0.95
    assert (done["state"], done["retries"], done["payload"]) == ("successful", 1, {"a": 1})


@pytest.mark.parametrize("how", ["retry", "backoff"])
async def test_the_chosen_time_stands_on_the_item_whatever_the_queue_would_wait(
    client: Client, start: Any, how: str
) -> None:
    @handler("q", retry={Busy: Backoff("10m", jitter=False)})
    async def call(payload: dict[str, Any]) -> None:
        raise Retry(after="10m", reason="busy") if how == "retry" else Busy("busy")

    await create_queue(client, "q", retrydelay=HOUR)
    await client.push_workitem("q", {})
    await start(call)
    waiting = await until_one(client, {"wiq": "q", "state": "new", "retries": 1})
    ahead = parse_iso(waiting["nextrun"]) - datetime.now(UTC)
    assert timedelta(minutes=9) < ahead < timedelta(minutes=10, seconds=2)
    assert waiting["retries"] == 1
    assert "busy" in waiting["errormessage"]
    assert waiting["errortype"] == "application"
    assert not waiting.get("username")


async def test_the_last_attempt_ends_as_failed_and_goes_to_the_failed_queue(
    client: Client, start: Any
) -> None:
    runs: list[str] = []

    @handler("q")
    async def call(payload: dict[str, Any]) -> None:
        runs.append("ran")
        raise Retry(after=0.05, reason="busy")

    await create_queue(client, "rest")
    await create_queue(client, "q", maxretries=3, retrydelay=HOUR, failed_wiq="rest")
    await client.push_workitem("q", {"a": 1})
    daemon = await start(call)
    (done,) = await until_finished(client, "q")
    await until_idle(daemon)
    assert (done["state"], done["retries"], len(runs)) == ("failed", 2, 3)
    copy = await until_one(client, {"wiq": "rest"})
    assert taken_out(copy["payload"])[0] == {"a": 1}


async def test_an_outcome_for_an_item_that_has_a_new_owner_is_not_written(
    client: Client, start: Any
) -> None:
    @handler("q")
    async def call(payload: dict[str, Any]) -> None:
        (item,) = await client.query("workitems", {"wiq": "q"})
        await client.update_one("workitems", {**item, "retries": 1, "name": "theirs"})
        raise Retry(after=0.05, reason="ours")

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    daemon = await start(call, lease=0)
    async with asyncio.timeout(60):
        while daemon.counts()["q"].finished < 1:
            await asyncio.sleep(0.01)
    (item,) = await client.query("workitems", {"wiq": "q"})
    assert (item["name"], item["retries"], item["state"]) == ("theirs", 1, "processing")


async def test_a_user_who_may_not_write_documents_of_items_is_told_so_once(
    server: Any, client: Client, start: Any, client_name: str, warned: list[str]
) -> None:
    @handler("q")
    async def call(payload: dict[str, Any]) -> None:
        raise Retry(after=HOUR, reason="busy")

    await create_queue(client, "q", maxretries=2)
    for _ in range(3):
        await client.push_workitem("q", {})
    server.faults.refuse_collections = {"workitems"}
    await start(call)
    if client_name == "official":
        # The queue's own delay counts, and its limit: nothing waits for the hour.
        await until_finished(client, "q", 3)
    else:
        async with asyncio.timeout(60):
            while await client.count("workitems", {"wiq": "q", "retries": 1}) < 3:
                await asyncio.sleep(0.02)
    said = [text for text in warned if "may not update the documents" in text]
    assert len(said) == 1


async def test_a_retry_by_the_queues_own_delay_is_begun_when_it_is_due(
    server: Any, client: Client, start: Any
) -> None:
    """Nothing else tells of it: no message, no watch, and a poll that is far away."""
    begun: list[float] = []

    @handler("q")
    async def call(payload: dict[str, Any]) -> None:
        begun.append(time.monotonic())
        if len(begun) < 3:
            raise ValueError("once more")

    server.faults.refuse = {"watch": 1}
    await create_queue(client, "q", retrydelay=1, amqpqueue="")
    await client.push_workitem("q", {})
    await start(call, poll_interval=600.0)
    (done,) = await until_finished(client, "q")
    assert done["retries"] == 2


async def test_a_refusal_for_the_moment_is_not_taken_for_a_missing_right(
    client: Client, start: Any, server: Any, warned: list[str]
) -> None:
    """With the official client the time is written by the item's document."""

    @handler("q")
    async def call(payload: dict[str, Any]) -> None:
        server.faults.refuse["updateone"] = 1
        raise Retry(after="10m", reason="busy")

    await create_queue(client, "q", retrydelay=HOUR)
    await client.push_workitem("q", {})
    await start(call, presence=False)
    waiting = await until_one(client, {"wiq": "q", "state": "new", "retries": 1})
    ahead = parse_iso(waiting["nextrun"]) - datetime.now(UTC)
    assert timedelta(minutes=9) < ahead < timedelta(minutes=10, seconds=2)
    assert not [said for said in warned if "may not update" in said]


async def test_a_hand_back_that_is_refused_for_the_moment_costs_no_attempt(
    client: Client, start: Any, server: Any
) -> None:
    begun = asyncio.Event()

    @handler("q")
    async def call(payload: dict[str, Any]) -> None:
        begun.set()
        await asyncio.Event().wait()

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    worker = await start(call, presence=False, drain_timeout=0)
    async with asyncio.timeout(60):
        await begun.wait()
    server.faults.refuse.update(updateone=1)
    await worker.stop()
    waiting = await until_one(client, {"wiq": "q", "state": "new"})
    assert waiting["retries"] == 0
