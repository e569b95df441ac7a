"""A worker's death costs the items in flight nothing, and the one that kills its life."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.conftest import Make, create_queue, until_finished
from tests.integration.engine.test_taking_over import (
    died_over,
    document_of,
    popped,
    recovery_of,
    rescuer,
    writeback,
)
from worker import Backoff, Item, handler
from worker.engine.delivery.delivery import Delivery
from worker.engine.fleet.deaths import deaths_id, deaths_of, mark_of, marked
from worker.engine.fleet.presence import COLLECTION, Claimed, Peer
from worker.engine.fleet.rescuer import Rescuer
from worker.engine.outbox.outbox import Outbox
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


async def test_items_of_a_worker_that_seems_dead_come_back_at_once(client: Client) -> None:
    await create_queue(client, "q", maxretries=1, retrydelay=3600)
    for _ in range(3):
        await client.push_workitem("q", {"a": 1})
    items = [await as_if_earlier(client, await popped(client)) for _ in range(3)]
    assert await heir_of(client, items).rescue() == 3
    for item in items:
        document = await document_of(client, item)
        assert (document["state"], document["retries"]) == ("new", 1), "it may be alive, and late"
        assert document["payload"] == {"a": 1}
        assert "worker owner had this item" in document["errormessage"]
        assert marked(document["errorsource"]) == 1
        again = await popped(client)
        assert (again.retries, marked(again.errorsource)) == (1, 1), "the mark comes with the pop"


async def test_what_a_worker_that_is_gone_for_certain_left_costs_no_number_either(
    client: Client, tmp_path: Path
) -> None:
    await create_queue(client, "patient", maxretries=1, retrydelay=3600)
    await client.push_workitem("patient", {})
    item = await client.pop_workitem("patient")
    assert item is not None
    await died_over(tmp_path, item)
    outbox = await Outbox.open(tmp_path, "me", sync="normal", keep_evidence_days=1)
    recovery = recovery_of(client, outbox, tmp_path)
    await recovery.run()
    assert outbox.size() == 0
    again = await client.pop_workitem("patient")
    assert again is not None
    assert (again.id, again.retries, marked(again.errorsource)) == (item.id, 0, 1)
    await recovery.stop()
    await outbox.close()


@pytest.mark.parametrize("told", [True, False])
async def test_who_ran_alone_beside_outcomes_on_their_way_counts_as_alone(
    client: Client, tmp_path: Path, told: bool
) -> None:
    await create_queue(client, "patient")
    for _ in range(2):
        await client.push_workitem("patient", {})
    done, alone = [await client.pop_workitem("patient") for _ in range(2)]
    assert done is not None
    assert alone is not None
    claims = [
        Claimed(one.id, one.retries, "patient", one.lastrun, alone=told and one is alone)
        for one in (done, alone)
    ]
    ended = Delivery(done, Outcome("successful", {}), uptime(), 1)
    assert (await writeback(client, "me").deliver(ended)).result == "applied"
    await died_over(tmp_path, alone)
    outbox = await Outbox.open(tmp_path, "me", sync="normal", keep_evidence_days=1)
    recovery = recovery_of(client, outbox, tmp_path, claims=claims)
    await recovery.run()
    (kept,) = await client.query(COLLECTION, {"_id": deaths_id(alone.id)})
    assert len(deaths_of(alone.id, kept).alone) == (1 if told else 0)
    assert (await document_of(client, done))["state"] == "successful"
    await recovery.stop()
    await outbox.close()


async def test_an_attempt_that_a_death_took_is_given_back(client: Client) -> None:
    await create_queue(client, "q", maxretries=2)
    await client.push_workitem("q", {})
    states = []
    for dies in (True, False, False):
        item = await as_if_earlier(client, await popped(client))
        if dies:
            assert await heir_of(client, [item]).rescue() == 1
        else:
            failed = Delivery(item, Outcome("application", None, "no"), uptime(), 1)
            assert (await writeback(client, "heir").deliver(failed)).result == "applied"
        document = await document_of(client, item)
        states.append((document["state"], document["retries"]))
    assert states == [("new", 1), ("new", 2), ("failed", 2)]


async def test_an_attempt_of_the_handlers_own_policy_is_given_back(
    client: Client, start: Make
) -> None:
    attempts = []

    @handler("q", retry=Backoff(first=0.01, attempts=2))
    async def work(payload: dict[str, Any], item: Item) -> None:
        attempts.append(item.attempt)
        raise RuntimeError("no")

    await create_queue(client, "q", maxretries=10)
    await client.push_workitem("q", {})
    item = await as_if_earlier(client, await popped(client))
    assert await heir_of(client, [item]).rescue() == 1
    await start(work)
    (done,) = await until_finished(client, "q")
    assert done["state"] == "failed"
    assert attempts == [2, 3], "two of its own, after the one that a death took"


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


async def test_a_late_outcome_of_a_run_that_was_taken_over_is_refused(
    client: Client,
) -> None:
    await create_queue(client, "q")
    await client.push_workitem("q", {})
    item = await as_if_earlier(client, await popped(client))
    late = Delivery(item, Outcome("successful", {"by": "late"}), uptime() - 100, 1)
    assert await heir_of(client, [item]).rescue() == 1
    again = await popped(client)
    assert (await writeback(client, "owner").deliver(late)).result == "fenced"
    done = Delivery(again, Outcome("successful", {"by": "heir"}), uptime(), 1)
    assert (await writeback(client, "heir").deliver(done)).result == "applied"
    document = await document_of(client, item)
    assert document["payload"] == {"by": "heir"}
    stale = Delivery(item, Outcome("successful", {"by": "late"}), sent=True)
    assert (await writeback(client, "owner").deliver(stale)).result == "fenced", "it is another's"


async def test_a_user_who_may_not_write_documents_loses_no_item(
    server: LocalServer, client: Client
) -> None:
    await create_queue(client, "q", maxretries=1)
    await client.push_workitem("q", {})
    item = await popped(client)
    server.faults.refuse_collections.add("workitems")
    assert await heir_of(client, [item]).rescue() == 1
    document = await document_of(client, item)
    assert (document["state"], document["retries"]) == ("new", 1)


async def test_one_refusal_keeps_no_item_of_a_dead_worker(
    server: LocalServer, client: Client
) -> None:
    await create_queue(client, "q")
    await client.push_workitem("q", {})
    item = await popped(client)
    server.faults.refuse["updateone"] = 2  # the count of its deaths, then its document
    assert await heir_of(client, [item]).rescue() == 1
    document = await document_of(client, item)
    assert (document["state"], marked(document["errorsource"])) == ("new", 1)


@pytest.mark.dear
@pytest.mark.parametrize("deaths", [1, 2, 3])
@pytest.mark.parametrize(
    "client_name", ["native", pytest.param("official", marks=pytest.mark.dear)], indirect=True
)
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
