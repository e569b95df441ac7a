"""One of two workers has a full disk: no item pays for it, and it works again with room."""

import resource
from pathlib import Path

from tests.acceptance.clients import both_clients
from tests.acceptance.processes import WAIT, until
from tests.acceptance.stage import PATIENT, Stage

PLAN = {"module": "tests.acceptance.attaching"}
SOME = 64 * 1024


@both_clients
async def test_a_full_disk_costs_no_item_an_attempt(client: str, tmp_path: Path) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        for queue in ("reports", "plain"):
            await outsider.queue(queue, maxretries=1)
        full = stage.worker("full", "reports", "plain", plan={**PLAN, "limit": SOME}, **PATIENT)
        await full.started()
        pushed = await outsider.push("reports", [{}] * 8)
        await until(
            "the worker says what it lacks",
            lambda: "cannot serve the handler" in full.text(),
            WAIT,
            tell=full.tail,
        )
        plain = await outsider.push("plain", [{}] * 4)
        assert (await stage.settled("plain", plain)).successful == 4
        well = stage.worker("well", "reports", plan=PLAN, **PATIENT)
        await well.started()
        assert (await stage.settled("reports", pushed)).successful == 8
        found = await outsider.items("reports")
        assert {(one["retries"], one["payload"]["by"]) for one in found} == {(0, well.pid)}
        await well.kill()
        more = await outsider.push("reports", [{}] * 4)
        resource.prlimit(
            full.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
        assert (await stage.settled("reports", more)).successful == 4
        assert {one["retries"] for one in await outsider.items("reports")} == {0}
        assert full.text().count("cannot serve the handler") == 1
        assert full.text().count("can serve the handler again") == 1
