"""A user with read and invoke on a queue works it: what it may not do beyond that loses no item."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.conftest import (
    create_queue,
    settings_for,
    until_finished,
    until_idle,
)
from worker import Item, connect, handler
from worker.engine.daemon import Daemon
from worker.localserver import LocalServer
from worker.localserver.operations.workitems import WorkItems
from worker.localserver.storage.errors import RefusedError
from worker.openiap.client import Client
from worker.openiap.types import UpdateResult
from worker.settings import Settings
from worker.telemetry.log import Log


@pytest.fixture
def client_name() -> str:
    return "native"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Conditional updates of items match nothing, which is all that OpenIAP says of a missing right
    to update; returns the collections that were asked for."""
    found: list[str] = []

    async def nothing(self: Client, collection: str, *args: Any, **more: Any) -> UpdateResult:
        found.append(collection)
        return UpdateResult(0, 0)

    monkeypatch.setattr(Client, "update_document", nothing)
    return found


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(Log, "warn", lambda self, message, **fields: said.append(message))
    return said


async def test_a_late_outcome_is_written_and_what_is_missing_said_once(
    client: Client, start: Any, asked: list[str], warned: list[str]
) -> None:
    @handler("q", concurrency=1)
    async def work(payload: dict[str, Any]) -> dict[str, Any]:
        return {"done": True}

    await create_queue(client, "q")
    for _ in range(3):
        await client.push_workitem("q", {})
    daemon = await start(work, lease=0)  # each outcome counts as late, so it is looked at first
    done = await until_finished(client, "q", 3)
    await until_idle(daemon)
    assert [item["state"] for item in done] == ["successful"] * 3
    assert daemon.counts()["q"].successful == 3
    said = [text for text in warned if "may not update the documents" in text]
    assert len(said) == 1
    assert asked.count("workitems") == 1, "what is known is not asked again"


async def test_progress_and_checkpoints_are_stored_and_the_item_is_not_taken_for_lost(
    client: Client, start: Any, asked: list[str]
) -> None:
    seen: list[Any] = []

    @handler("q")
    async def work(payload: dict[str, Any], item: Item) -> None:
        await item.checkpoint({"page": 3})
        (stored,) = await client.query("workitems", {"wiq": "q"})
        seen.append((stored["state"], stored["payload"]["openiap_worker"]["checkpoint"]))

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"
    assert done["retries"] == 0
    assert seen == [("processing", {"page": 3})]


async def test_an_item_that_really_has_a_new_owner_is_still_told_apart(
    client: Client, start: Any, asked: list[str], warned: list[str]
) -> None:
    lost: list[str] = []

    @handler("q")
    async def work(payload: dict[str, Any], item: Item) -> None:
        (found,) = await client.query("workitems", {"wiq": "q"})
        await client.update_one("workitems", {**found, "retries": 1})
        try:
            await item.checkpoint({"page": 3})
        except Exception as error:
            lost.append(type(error).__name__)
            raise

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    daemon = await start(work, lease=0)
    async with asyncio.timeout(60):
        while daemon.counts()["q"].finished < 1:
            await asyncio.sleep(0.01)
    assert lost == ["LostItem"]
    assert not [text for text in warned if "may not update the documents" in text]


async def test_a_unique_push_updates_the_item_that_waits(
    client: Client, settings: Settings, server: LocalServer, tmp_path: Path, asked: list[str]
) -> None:
    @handler("q")
    async def work(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "q")
    async with connect(settings_for(server.ws_url, tmp_path, client="native")):
        await work.push({"n": 1}, unique="a")
        again = await work.push({"n": 2}, unique="a", unique_update=True)
    (item,) = await client.query("workitems", {"wiq": "q"})
    assert item["payload"]["n"] == 2
    assert again.updated


async def test_who_may_not_pop_ends_a_worker_that_ends_with_its_queue_by_one_sentence(
    client: Client,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refused(*_: object) -> None:
        raise RefusedError("Access denied popping workitem 1 tester is missing invoke rights)")

    monkeypatch.setattr(WorkItems, "pop", refused)

    @handler("q")
    async def work(payload: dict[str, Any]) -> None: ...

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    once = settings.model_copy(update={"once": True})
    async with asyncio.timeout(60):
        assert await Daemon(once, [work]).run(signals=False) == 1
    (sentence,) = [line for line in capfd.readouterr().err.splitlines() if "Queue q" in line]
    assert "read, update and invoke" in sentence
    assert (await client.count("workitems", {"wiq": "q", "state": "new"})) == 1
