"""Handlers that never return make no queue dead for good."""

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path

from tests.acceptance.processes import WAIT, until
from tests.acceptance.stage import PATIENT, Stage

PLAN = {"module": "tests.acceptance.stuck"}


async def test_a_worker_whose_slots_are_all_lost_starts_anew_and_works_on(tmp_path: Path) -> None:
    async with Stage(tmp_path, client="native") as stage, stage.outsider() as outsider:
        await outsider.queue("stuck", maxretries=1)
        worker = stage.worker("a", "stuck", plan=PLAN, lost_slots_after=0.3, **PATIENT)
        await worker.started()
        bad = await outsider.push("stuck", [{"bad": True}] * 2)
        good = await outsider.push("stuck", [{}])
        await stage.settled("stuck", [*bad, *good])
        found = {one["_id"]: one for one in await outsider.items("stuck")}
        assert [found[item]["state"] for item in (*bad, *good)] == [
            "failed",
            "failed",
            "successful",
        ]
        assert found[good[0]]["payload"]["pid"] == worker.pid
        assert "slots are held by handlers that cannot be stopped: 2 of 2 of stuck" in worker.text()
        assert worker.text().count(f"[{worker.pid}] ready") == 2
        worker.terminate()
        assert await worker.ended(WAIT) == 0


async def test_lost_slots_end_the_worker_with_a_code_or_turn_liveness_red(tmp_path: Path) -> None:
    async with Stage(tmp_path, client="native") as stage, stage.outsider() as outsider:
        await outsider.queue("stuck", maxretries=1)
        settings = {"lost_slots_after": 0.3, **PATIENT}
        ends = stage.worker("ends", "stuck", plan=PLAN, lost_slots="exit", **settings)
        await ends.started()
        await outsider.push("stuck", [{"bad": True}] * 2)
        assert await ends.ended(WAIT) == 75
        port = stage.port()
        [kept.close() for kept in stage._ports]
        keeps = stage.worker(
            "keeps", "stuck", plan=PLAN, lost_slots="keep", health_port=port, **settings
        )
        await keeps.started()
        await outsider.push("stuck", [{"bad": True}] * 2)

        def live() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as page:
                    return page.status, ""
            except urllib.error.HTTPError as error:
                return error.code, json.loads(error.read())["reason"]

        async def red() -> bool:
            return (await asyncio.to_thread(live))[0] == 503

        await until("liveness is red", red, WAIT)
        assert "every slot of stuck" in live()[1]
        assert keeps.alive
