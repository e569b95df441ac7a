"""Pops whose replies are lost: nobody knows that the item was popped, and yet it is worked."""

from pathlib import Path

from tests.acceptance.clients import both_clients
from tests.acceptance.processes import until
from tests.acceptance.stage import Stage


@both_clients
async def test_items_of_lost_pops_are_worked_after_unclaimed_after(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("items", maxretries=5)
        await outsider.faults(lose_pop_replies=4)
        pushed = await outsider.push("items", [{"n": n} for n in range(20)])
        await stage.worker("a", "items", call_timeout=1.0).started()
        books = await stage.settled("items", pushed, 60)
        assert books.successful == 20
        assert books.runs == (1,) * 20
        taken = [one for one in await outsider.items("items") if one["retries"]]
        assert sum(one["retries"] for one in taken) == 4
        assert all("claimed by no worker" in one["errormessage"] for one in taken)


@both_clients
async def test_a_foreign_workers_item_is_worked_after_unclaimed_after(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("items", maxretries=5)
        pushed = await outsider.push("items", [{"n": 0}])
        assert await outsider.pop("items") == pushed[0]
        await stage.worker("a", "items").started()
        assert (await stage.settled("items", pushed, 60)).runs == (1,)


@both_clients
async def test_without_rights_for_heartbeats_a_dead_workers_item_is_worked_by_its_age(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("items", maxretries=5)
        await outsider.faults(refuse_collections=["openiap_workers"])
        dead = stage.worker("a", "items")
        await dead.started()
        pushed = await outsider.push("items", [{"seconds": 2.5}])
        await until("it is begun", lambda: bool(stage.journal.notes("start")), 20, tell=dead.tail)
        await dead.kill()
        heir = stage.worker("b", "items")
        await heir.started()
        books = await stage.settled("items", pushed, 40)
        warned = [line for line in heir.text().splitlines() if "no heartbeat" in line]
    assert (books.successful, books.runs) == (1, (2,))
    assert len(warned) == 1
    assert "openiap_workers" in warned[0]
