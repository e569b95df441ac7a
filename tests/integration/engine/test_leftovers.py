"""A stop that could not write everything back leaves word of it."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.engine.conftest import create_queue
from worker import Item, handler
from worker.cli.doctor.checks import DOCTOR, RECORDS, of_history, of_records
from worker.localserver import LocalServer


async def test_items_left_in_processing_stay_claimed_so_that_others_take_them_over(
    server: LocalServer, client, start
) -> None:
    begun = asyncio.Event()

    @handler("q")
    async def endless(payload: dict) -> None:
        begun.set()
        await asyncio.Event().wait()

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    daemon = await start(endless, drain_timeout=0.1, cancel_timeout=0.1, heartbeat_interval=0.1)
    async with asyncio.timeout(60):
        await begun.wait()
        while not await client.count("openiap_workers", {"items.id": pushed.id}):
            await asyncio.sleep(0.05)
        server.faults.delay = dict.fromkeys(("updateone", "updateworkitem", "updatedocument"), 60.0)
        await daemon.stop()
    (item,) = await client.query("workitems", {"_id": pushed.id})
    assert item["state"] == "processing"
    (document,) = await client.query("openiap_workers", {"_type": "worker"})
    assert [claim["id"] for claim in document["items"]] == [pushed.id]


async def test_a_stop_that_leaves_nothing_takes_its_document_along(
    client, start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A goodbye that takes too long is left out, and the document found dead: no matter of this.
    monkeypatch.setattr("worker.engine.fleet.heartbeat.GOODBYE_TIMEOUT", 60.0)

    @handler("q")
    async def work(payload: dict) -> None: ...

    await create_queue(client, "q")
    daemon = await start(work)
    assert len(await client.query("openiap_workers", {"_type": "worker"})) == 1
    await daemon.stop()
    assert await client.query("openiap_workers", {"_type": "worker"}) == []


async def test_an_item_that_is_handed_back_leaves_no_copy_of_its_attachments(client, start) -> None:
    begun = asyncio.Event()
    kept: list[Path] = []

    @handler("q")
    async def endless(payload: dict, item: Item) -> None:
        await item.attach(b"content", "a.txt")
        kept.extend(one.path for one in item.attachments)
        begun.set()
        await asyncio.Event().wait()

    await create_queue(client, "q")
    pushed = await client.push_workitem("q", {})
    daemon = await start(endless, drain_timeout=0.1, cancel_timeout=60.0)
    async with asyncio.timeout(60):
        await begun.wait()
    assert kept[0].exists()
    await daemon.stop()
    assert not kept[0].exists()
    (item,) = await client.query("workitems", {"_id": pushed.id})
    assert item["state"] == "new"


async def test_a_worker_has_one_document_on_a_server_that_forgets_ids(
    server: LocalServer, client, start
) -> None:
    @handler("q")
    async def work(payload: dict) -> None: ...

    server.faults.upserts_forget_ids = True
    rights = [{"_id": "5a17f157c4815318c8536c21", "name": "users", "rights": 65535}]
    await create_queue(client, "q", _acl=rights)
    await start(work, heartbeat_interval=0.1)
    beats: set[str] = set()
    async with asyncio.timeout(60):
        while len(beats) < 3:
            (document,) = await client.query("openiap_workers", {"_type": "worker"})
            beats.add(document["lastseen"]["at"])
            await asyncio.sleep(0.05)
    assert document["_id"] == document["name"]
    assert rights[0] in document["_acl"], "workers of other users see who works the queue"


async def test_doctor_says_what_is_missing_without_the_right_to_keep_records(
    server: LocalServer, client
) -> None:
    server.faults.refuse_collections = {"openiap_worker_state"}
    found = [await of_records(client, *record) for record in RECORDS.items()]
    assert [check.verdict for check in found] == ["ok", "ok", "note"]
    assert found[2].detail.endswith(
        "): keys, rates, unique pushes and pausing schedules do not work"
    )
    assert await client.query("openiap_workers", {"_type": "doctor"}) == []


async def test_doctor_says_when_the_server_keeps_a_history_of_heartbeats(client) -> None:
    assert await of_history(client, "openiap_workers") is None
    deleted = {"item": {"_type": DOCTOR}, "_deletedby": "me"}  # as OpenIAP keeps what was deleted
    await client.insert_one("openiap_workers_hist", deleted)
    await client.insert_one(
        "openiap_workers_hist", {"item": {"_type": "worker"}, "_deletedby": "me"}
    )
    check = await of_history(client, "openiap_workers")
    assert check is not None
    assert (check.name, check.verdict) == ("history", "note")
    assert "add openiap_workers to its setting skip_history_collections" in check.detail
    left = await client.query("openiap_workers_hist", {})
    assert [one["item"]["_type"] for one in left] == ["worker"], "its own traces are removed"
