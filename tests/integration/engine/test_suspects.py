"""A worker's death costs the items in flight nothing, and the one that kills its life."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.engine.conftest import Make, create_queue, until_finished
from tests.integration.engine.test_taking_over import document_of, popped, rescuer, writeback
from worker import handler
from worker.engine.delivery.delivery import Delivery
from worker.engine.fleet.deaths import deaths_id, deaths_of, mark_of, marked
from worker.engine.fleet.presence import COLLECTION, Peer
from worker.engine.fleet.rescuer import Rescuer
from worker.item.outcome import Outcome
from worker.localserver import LocalServer
from worker.openiap.client import Client
from worker.openiap.values import iso
from worker.openiap.workitem import Workitem
from worker.uptime import uptime


def heir_of(client: Client, items: Sequence[Workitem], *, alone: bool = False) -> Rescuer:
    """Return who takes over what a dead worker claimed."""
    claims = frozenset((item.id, item.retries) for item in items)
    dead = Peer("owner", "host", 1, "1", ("q",), 60, claims, alone=claims if alone else frozenset())
    return rescuer(client, "heir", dead)


async def as_if_earlier(client: Client, item: Workitem) -> Workitem:
    """Let the item have been popped some seconds ago: its next run is another for certain."""
    document = await document_of(client, item)
    early = datetime.now(UTC) - timedelta(seconds=20)
    await client.update_one("workitems", {**document, "lastrun": iso(early)})
    item.lastrun = early
    return item


async def test_items_of_a_dead_worker_come_back_at_once_without_an_attempt(client: Client) -> None:
    await create_queue(client, "q", maxretries=1, retrydelay=3600)
    for _ in range(3):
        await client.push_workitem("q", {"a": 1})
    items = [await as_if_earlier(client, await popped(client)) for _ in range(3)]
    assert await heir_of(client, items).rescue() == 3
    for item in items:
        document = await document_of(client, item)
        assert (document["state"], document["retries"]) == ("new", 0)
        assert document["payload"] == {"a": 1}
        assert "worker owner had this item" in document["errormessage"]
        assert marked(document["errorsource"]) == 1
        again = await popped(client)
        assert (again.retries, marked(again.errorsource)) == (0, 1), "the mark comes with the pop"


async def test_who_was_alone_in_three_deaths_fails_and_who_was_not_does_not(
    client: Client,
) -> None:
    await create_queue(client, "q", maxretries=100)
    await client.push_workitem("q", {})
    for alone, state in ((True, "new"), (False, "new"), (False, "new"), (True, "failed")):
        item = await as_if_earlier(client, await popped(client))
        assert await heir_of(client, [item], alone=alone).rescue() == 1
        assert (await document_of(client, item))["state"] == state
    (kept,) = await client.query(COLLECTION, {"_id": deaths_id(item.id)})
    assert (deaths_of(item.id, kept).total, len(deaths_of(item.id, kept).alone)) == (4, 2)


async def test_a_late_outcome_of_a_run_that_was_taken_over_without_an_attempt_is_refused(
    client: Client,
) -> None:
    await create_queue(client, "q")
    await client.push_workitem("q", {})
    item = await as_if_earlier(client, await popped(client))
    late = Delivery(item, Outcome("successful", {"by": "late"}), uptime() - 100, 1)
    assert await heir_of(client, [item]).rescue() == 1
    again = await popped(client)
    assert again.retries == item.retries
    assert (await writeback(client, "owner").deliver(late)).result == "fenced"
    done = Delivery(again, Outcome("successful", {"by": "heir"}), uptime(), 1)
    assert (await writeback(client, "heir").deliver(done)).result == "applied"
    document = await document_of(client, item)
    assert document["payload"] == {"by": "heir"}
    stale = Delivery(item, Outcome("successful", {"by": "late"}), sent=True)
    assert (await writeback(client, "owner").deliver(stale)).result == "fenced", "it is another's"


async def test_a_user_who_may_not_write_documents_loses_an_attempt_and_no_item(
    server: LocalServer, client: Client
) -> None:
    await create_queue(client, "q", maxretries=1)
    await client.push_workitem("q", {})
    item = await popped(client)
    server.faults.refuse["updateone"] = 1_000
    assert await heir_of(client, [item]).rescue() == 1
    document = await document_of(client, item)
    assert (document["state"], document["retries"]) == ("new", 1)


async def test_one_refusal_costs_an_item_of_a_dead_worker_no_attempt(
    server: LocalServer, client: Client
) -> None:
    await create_queue(client, "q")
    await client.push_workitem("q", {})
    item = await popped(client)
    server.faults.refuse["updateone"] = 2  # the count of its deaths, then its document
    assert await heir_of(client, [item]).rescue() == 1
    document = await document_of(client, item)
    assert (document["state"], document["retries"]) == ("new", 0)


@pytest.mark.parametrize("deaths", [1, 2, 3])
async def test_an_item_of_several_deaths_is_worked_beside_fewer_and_fewer(
    client: Client, start: Make, deaths: int
) -> None:
    running, most = 0, 0

    @handler("q", concurrency=4)
    async def work(payload: dict[str, Any]) -> dict[str, Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.1)
        running -= 1
        return {}

    await create_queue(client, "q")
    for _ in range(6):
        await client.push_workitem("q", {})
    for document in await client.query("workitems", {"wiq": "q"}):
        await client.update_one("workitems", {**document, "errorsource": mark_of(deaths)})
        runs = tuple(range(1_001, deaths * 1_000 + 1_001, 1_000))
        counted = deaths_of(document["_id"], {"_id": "d", "runs": list(runs)})
        await client.insert_one(COLLECTION, counted.document("q", datetime.now(UTC)))
    await start(work)
    found = await until_finished(client, "q", 6)
    assert {(one["state"], one["retries"]) for one in found} == {("successful", 0)}
    assert most == {1: 4, 2: 2, 3: 1}[deaths]
