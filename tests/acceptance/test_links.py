"""A link that goes dead at the worst moment is replaced."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.processes import WAIT, until
from tests.acceptance.stage import Stage
from worker.openiap.wire import openiap_pb2 as pb


@pytest.mark.dear
@both_clients
async def test_a_link_that_goes_dead_right_after_the_sign_in_is_replaced(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("items", maxretries=5)
        pushed = await outsider.push("items", [{}])

        def swallow(request: pb.Envelope, _: pb.Envelope | None) -> bool:
            stage.proxy.half_open()
            return True

        dead = stage.proxy.tap("query", "request", match=swallow, act="drop")
        worker = stage.worker("a", "items")
        await worker.start()
        async with asyncio.timeout(WAIT):
            await dead.reached.wait()
        stage.proxy.restore()
        await until("it works", worker.ready, WAIT, tell=worker.tail)
        assert (await stage.settled("items", pushed)).successful == 1
