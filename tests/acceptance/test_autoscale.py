"""Workers come and go by what /scale says: nothing is lost, nothing is done twice.

How long it takes is measured apart: ``python -m tests.acceptance.long --autoscale``.
"""

from pathlib import Path

import pytest

from tests.acceptance.autoscaler import (
    DEADLINE,
    MOST,
    QUEUE,
    SECONDS,
    Autoscaler,
    account_for,
    work_off,
)
from tests.acceptance.processes import until
from tests.acceptance.stage import Stage

STEP = 200
ENOUGH = 2_500
"""More than one worker works off in the seconds of ``TARGET``."""


@pytest.mark.dear
async def test_autoscaled_workers_do_all_once(tmp_path: Path) -> None:
    """What is lost, stuck or repeated is counted in ``work_off``."""
    scaled = await work_off(tmp_path / "scaled", 0, ENOUGH)
    assert scaled.wished, "nobody answered /scale"
    assert 1 < scaled.most <= MOST, scaled.wished


@pytest.mark.dear
async def test_workers_that_are_stopped_amid_their_work_lose_and_repeat_nothing(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path, client="native") as stage:
        async with stage.outsider() as outsider:
            await outsider.queue(QUEUE, maxretries=1)
            items = [{"seconds": SECONDS}] * STEP
            pushed = await outsider.push(QUEUE, items)
            scaler = Autoscaler(stage)
            for _ in range(4):
                await scaler.add()
            left = STEP // 2

            async def done() -> bool:
                return await outsider.count(QUEUE, "new", "processing") <= left

            for _ in range(3):
                await until(f"{left} items are left", done, DEADLINE, every=0.05)
                # There is enough to do for all of them, however late it is seen.
                pushed += await outsider.push(QUEUE, items)
                await scaler.remove()
            left = 0
            await until("all is done", done, DEADLINE, every=0.05)
            await scaler.end()
        await account_for(stage, pushed)
        assert scaler.told.codes == [0] * 4
