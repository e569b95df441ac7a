"""Pops whose replies are lost: nobody knows that the item was popped, and yet it is worked."""

from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.points import HANDLING
from tests.acceptance.processes import WAIT, until
from tests.acceptance.proxy import pops
from tests.acceptance.stage import Stage


@pytest.mark.dear
@both_clients
async def test_items_of_lost_pops_are_worked_after_unclaimed_after(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("items", maxretries=5)
        await outsider.faults(lose_pop_replies=4)
        pushed = await outsider.push("items", [{"n": n} for n in range(20)])
        worker = stage.worker("a", "items", call_timeout=1.0, watchdog_interval=60)
        await worker.started()
        books = await stage.settled("items", pushed)
        assert books.successful == 20
        assert books.runs == (1,) * 20
        taken = [one for one in await outsider.items("items") if one["retries"]]
        # One more for a pop that a halting machine loses with its link.
        assert sum(one["retries"] for one in taken) >= 4
        # A success sheds what was said of the run before, where the client can.
        said = [one.get("errormessage", "") for one in taken]
        assert all("claimed by no worker" in text for text in said) == (client == "official")


@pytest.mark.dear
@both_clients
async def test_a_pop_that_is_answered_after_a_take_over_does_not_overwrite_the_successor(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue(HANDLING, maxretries=5)
        worker = stage.worker("a", HANDLING, call_timeout=1.0, watchdog_interval=60)
        await worker.started()
        late = stage.proxy.tap("popworkitem", "reply", match=pops(HANDLING), act="hold")
        stage.points.arm(HANDLING)  # for the successor: the run of the late pop passes by
        pushed = await outsider.push(HANDLING, [{}])
        await until("it is taken over", lambda: stage.points.reached(HANDLING), WAIT)
        assert late.count == stage.proxy.release() == 1
        await until(
            "the late outcome is refused",
            lambda: "late outcome refused" in worker.text(),
            WAIT,
            tell=worker.tail,
        )
        (document,) = await outsider.items(HANDLING)
        assert document["state"] == "processing"
        stage.points.let_go(HANDLING)
        assert (await stage.settled(HANDLING, pushed)).successful == 1
        (document,) = await outsider.items(HANDLING)
        assert document["payload"]["done"] == 2


@pytest.mark.dear
@both_clients
async def test_a_foreign_workers_item_is_worked_after_unclaimed_after(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("items", maxretries=5)
        pushed = await outsider.push("items", [{"n": 0}])
        assert await outsider.pop("items") == pushed[0]
        await stage.worker("a", "items").started()
        assert (await stage.settled("items", pushed)).runs == (1,)


@pytest.mark.dear
@both_clients
async def test_without_rights_for_heartbeats_a_dead_workers_item_is_worked_by_its_age(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue(HANDLING, maxretries=5)
        await outsider.faults(refuse_collections=["openiap_workers"])
        stage.points.arm(HANDLING)  # for the first run alone
        dead = stage.worker("a", HANDLING)
        await dead.started()
        pushed = await outsider.push(HANDLING, [{}])
        await until("it is begun", lambda: stage.points.reached(HANDLING), WAIT, tell=dead.tail)
        await dead.kill()
        heir = stage.worker("b", HANDLING)
        await heir.started()
        books = await stage.settled(HANDLING, pushed)
        warned = [line for line in heir.text().splitlines() if "no heartbeat" in line]
    assert (books.successful, books.runs) == (1, (2,))
    assert len(warned) == 1
    assert "openiap_workers" in warned[0]
