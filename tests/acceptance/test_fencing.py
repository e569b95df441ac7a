"""No late writer overwrites its successor."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.points import HANDLING
from tests.acceptance.processes import WAIT, until
from tests.acceptance.proxy import Proxy
from tests.acceptance.stage import Stage


@both_clients
async def test_a_thawed_worker_does_not_overwrite_its_successor(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue(HANDLING, maxretries=5)
        stage.points.arm(HANDLING)  # for the first owner alone: the second passes by
        slow = stage.worker("first-owner", HANDLING)
        await slow.started()
        (item,) = await outsider.push(HANDLING, [{}])

        async def claimed() -> bool:
            found = await outsider.query("openiap_workers", {"_id": "first-owner"})
            return any(claim["id"] == item for one in found for claim in one["items"])

        await until("the first owner claims the item", claimed, WAIT, tell=slow.tail)
        slow.freeze()
        quick = stage.worker("second-owner", HANDLING)
        await quick.started()
        books = await stage.settled(HANDLING, [item])
        assert books.successful == 1
        successor = quick.pid
        stage.points.let_go(HANDLING)
        slow.thaw()
        await until(
            "the late outcome is refused",
            lambda: "late outcome refused" in slow.text(),
            WAIT,
            tell=slow.tail,
        )
        (line,) = [one for one in slow.text().splitlines() if "late outcome refused" in one]
        assert "first-owner" in line
        assert "second-owner" in line
        (document,) = await outsider.items(HANDLING)
        assert document["state"] == "successful"
        assert document["payload"]["by"] == successor
        assert document["payload"]["done"] == 2
        assert (await stage.account(HANDLING, [item])).runs == (2,)


async def test_an_outcome_that_was_held_up_in_transit_does_not_overwrite_its_successor(
    tmp_path: Path,
) -> None:
    """With the official client there is no condition that could stop it (README, Two clients)."""
    async with Stage(tmp_path, client="native") as stage, stage.outsider() as outsider:
        await outsider.queue(HANDLING, maxretries=5)
        async with Proxy(stage.server.port) as line:
            tap = line.tap("updateworkitem", "request", act="hold")
            slow = stage.worker("first-owner", HANDLING, proxy=line)
            await slow.started()
            (item,) = await outsider.push(HANDLING, [{}])
            async with asyncio.timeout(WAIT):
                await tap.reached.wait()

            async def claimed() -> bool:
                found = await outsider.query("openiap_workers", {"_id": "first-owner"})
                return any(claim["id"] == item for one in found for claim in one["items"])

            await until("the first owner claims the item", claimed, WAIT, tell=slow.tail)
            line.freeze()
            stage.points.arm(HANDLING)
            quick = stage.worker("second-owner", HANDLING)
            await quick.started()
            await until(
                "the successor works the item", lambda: stage.points.reached(HANDLING), WAIT
            )
            line.restore()
            assert line.release() == 1
            await until(
                "the late outcome is refused",
                lambda: "late outcome refused" in slow.text(),
                WAIT,
                tell=slow.tail,
            )
            (document,) = await outsider.items(HANDLING)
            assert (document["state"], document["retries"]) == ("processing", 1)
            stage.points.let_go(HANDLING)
            await stage.settled(HANDLING, [item])
            (document,) = await outsider.items(HANDLING)
            assert document["payload"]["by"] == quick.pid


@pytest.mark.dear
@both_clients
async def test_an_outcome_from_a_dead_workers_outbox_does_not_overwrite_its_successor(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("recorded", maxretries=5)
        points = str(stage.folder / "points")
        stage.points.arm("recorded")
        dead = stage.worker("first-owner", "recorded", plan={"points": points})
        await dead.started()
        (item,) = await outsider.push("recorded", [{}])
        await until("the outcome is on disk", lambda: stage.points.reached("recorded"), WAIT)

        async def claimed() -> bool:
            found = await outsider.query("openiap_workers", {"_id": "first-owner"})
            return any(claim["id"] == item for one in found for claim in one["items"])

        await until("the first owner claims the item", claimed, WAIT, tell=dead.tail)
        await dead.kill()
        quick = stage.worker("second-owner", "recorded")
        await quick.started()
        assert (await stage.settled("recorded", [item])).successful == 1
        await dead.started()
        await until(  # it begins to work when that takes long
            "the late outcome is refused",
            lambda: "late outcome refused" in dead.text(),
            WAIT,
            tell=dead.tail,
        )
        (document,) = await outsider.items("recorded")
        assert document["payload"]["by"] == quick.pid
