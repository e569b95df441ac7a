"""A user with read and invoke on a queue works it: what it may not do beyond that loses no item."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.conftest import (
    PASSWORD,
    USER,
    create_queue,
    settings_for,
    until_finished,
    until_idle,
    until_one,
)
from worker import BusinessError, Item, Producer, connect, handler
from worker.engine.daemon import Daemon
from worker.localserver import LocalServer, ServerOptions
from worker.management import Items
from worker.management.items.types import ItemRetryPayload
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.producer.groups.desk import ClientGroups
from worker.producer.sender import ClientSender
from worker.settings import Settings
from worker.telemetry.log import Log

ORDINARY = "ordinary"
READ_AND_INVOKE, READ_ONLY = 18, 2


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    """One with an administrator, who looks on, and an ordinary user, who works."""
    options = ServerOptions(
        port=0, grpc_port=0, users={USER: PASSWORD}, plain_users={ORDINARY: PASSWORD}
    )
    async with LocalServer(options) as running:
        yield running


@pytest.fixture
def settings(server: LocalServer, client_name: str, tmp_path: Path) -> Settings:
    return settings_for(server.ws_url, tmp_path / "state", client=client_name, username=ORDINARY)


@pytest.fixture
async def client(server: LocalServer, tmp_path: Path) -> AsyncIterator[Client]:
    admin = make_client(settings_for(server.ws_url, tmp_path / "admin", client="native"))
    await admin.connect()
    yield admin
    await admin.disconnect()


async def queue(admin: Client, name: str, rights: int = READ_AND_INVOKE, **more: Any) -> None:
    """Make a queue on which the ordinary user has some rights."""
    (user,) = await admin.query("users", {"name": ORDINARY})
    await create_queue(admin, name, _acl=[{"_id": user["_id"], "rights": rights}], **more)


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(Log, "warn", lambda self, message, **fields: said.append(message))
    return said


async def test_a_late_outcome_is_written_and_what_is_missing_said_once(
    server: LocalServer, client: Client, client_name: str, start: Any, warned: list[str]
) -> None:
    @handler("q", concurrency=1)
    async def work(payload: dict[str, Any]) -> dict[str, Any]:
        return {"done": True}

    await queue(client, "q")
    for _ in range(3):
        await client.push_workitem("q", {})
    daemon = await start(work, lease=0)  # each outcome counts as late, so it is looked at first
    done = await until_finished(client, "q", 3)
    await until_idle(daemon)
    assert [item["state"] for item in done] == ["successful"] * 3
    assert daemon.counts()["q"].successful == 3
    said = [text for text in warned if "may not update the documents" in text]
    assert len(said) == (1 if client_name == "native" else 0), "the official client only reads"
    assert server.stats.get("updatedocument", 0) <= 1, "what is known is not asked again"


async def test_progress_and_checkpoints_are_stored_and_the_item_is_not_taken_for_lost(
    client: Client, start: Any
) -> None:
    seen: list[Any] = []

    @handler("q")
    async def work(payload: dict[str, Any], item: Item) -> None:
        await item.checkpoint({"page": 3})
        (stored,) = await client.query("workitems", {"wiq": "q"})
        seen.append((stored["state"], stored["payload"]["openiap_worker"]["checkpoint"]))

    await queue(client, "q")
    await client.push_workitem("q", {})
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"
    assert done["retries"] == 0
    assert seen == [("processing", {"page": 3})]


async def test_steps_of_an_item_with_a_dead_letter_stay_in_its_payload_and_do_not_run_again(
    server: LocalServer, client: Client, client_name: str, start: Any
) -> None:
    runs: list[str] = []

    @handler("q")
    async def work(payload: dict[str, Any], item: Item) -> None:
        await item.step("charge", lambda: runs.append("charge"))
        runs.append("run")
        if runs.count("run") == 1:
            raise BusinessError("wrong")

    await queue(client, "dead")
    await queue(client, "q", failed_wiq="dead")
    pushed = await client.push_workitem("q", {})
    await start(work)
    await until_one(client, {"wiq": "dead"})
    await until_one(client, {"_id": pushed.id, "state": "failed"})
    await Items(client).retry_one(ItemRetryPayload(id=pushed.id))
    await until_one(client, {"_id": pushed.id, "state": "successful"})
    assert runs == ["charge", "run", "run"]


async def test_an_item_that_really_has_a_new_owner_is_still_told_apart(
    client: Client, start: Any, warned: list[str]
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

    await queue(client, "q")
    await client.push_workitem("q", {})
    daemon = await start(work, lease=0)
    async with asyncio.timeout(60):
        while daemon.counts()["q"].finished < 1:
            await asyncio.sleep(0.01)
    assert lost == ["LostItem"]
    assert not [text for text in warned if "may not update the documents" in text]


async def test_a_unique_push_updates_the_item_that_waits(
    client: Client, settings: Settings
) -> None:
    @handler("q")
    async def work(payload: dict[str, Any]) -> None: ...

    await queue(client, "q")
    async with connect(settings):
        await work.push({"n": 1}, unique="a")
        again = await work.push({"n": 2}, unique="a", unique_update=True)
    (item,) = await client.query("workitems", {"wiq": "q"})
    assert item["payload"]["n"] == 2
    assert again.updated


async def test_a_group_is_pushed_worked_and_ended_with_read_and_invoke(
    client: Client, settings: Settings, start: Any
) -> None:
    @handler("q")
    async def work(payload: dict[str, Any]) -> int:
        return int(payload["n"])

    @handler("after")
    async def after(payload: dict[str, Any]) -> None: ...

    await queue(client, "q")
    await queue(client, "after")
    async with connect(settings) as producer:
        group = await producer.push_group([(work, {"n": n}) for n in (1, 2)], then=after)
        await start(work, after)
        (then,) = await until_finished(client, "after")
        assert then["payload"]["results"] == [1, 2]
        assert (await group.results("1m")).results == [1, 2]


async def test_who_sees_only_some_queues_of_a_group_leaves_its_end_to_others(
    client: Client, settings: Settings
) -> None:
    await queue(client, "q")
    await create_queue(client, "hidden")  # the administrator's
    pushed = await Producer(ClientSender(client)).push_group([("q", {}), ("hidden", {})])
    for name in ("q", "hidden"):
        item = await client.pop_workitem(name)
        assert item is not None
        item.state = "successful"
        if name == "hidden":
            break
        await client.update_workitem(item)
    async with connect(settings) as producer:
        sender = ClientSender(producer.client)
        desk = ClientGroups(producer.client, "", sender.cancel, gone_after=-5.0)
        found = await desk.settle(pushed.id)
        assert (found.done, found.of, found.over) == (1, 2, False)
    await client.update_workitem(item)
    assert (await ClientSender(client).groups.settle(pushed.id)).over


async def test_who_may_not_pop_ends_a_worker_that_ends_with_its_queue_by_one_sentence(
    client: Client,
    settings: Settings,
    capfd: pytest.CaptureFixture[str],
) -> None:
    @handler("q")
    async def work(payload: dict[str, Any]) -> None: ...

    await queue(client, "q", READ_ONLY)
    await client.push_workitem("q", {})
    once = settings.model_copy(update={"once": True})
    async with asyncio.timeout(60):
        assert await Daemon(once, [work]).run(signals=False) == 1
    shown = "".join(capfd.readouterr()).splitlines()
    (sentence,) = [line for line in shown if "Queue q" in line]
    assert "read, update and invoke" in sentence
    assert (await client.count("workitems", {"wiq": "q", "state": "new"})) == 1
