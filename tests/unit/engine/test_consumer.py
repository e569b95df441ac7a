"""What a consumer tells of its items."""

import asyncio
import random
import time
from types import SimpleNamespace
from typing import Any, cast

from worker.engine.consumer import Consumer
from worker.engine.delivery.delivery import Delivered
from worker.engine.in_flight import Running
from worker.engine.pop_rules import PopRules
from worker.engine.runner import Runner
from worker.engine.turns import Turns
from worker.engine.wakeup import Wakeup
from worker.engine.worker_services import WorkerServices
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log


class Works:
    """A runner whose items end when they are to."""

    gate = None
    executor = SimpleNamespace(lost=lambda: 0)

    def __init__(self) -> None:
        self.ends = asyncio.Event()

    async def work(self, running: Running) -> Delivered:
        await self.ends.wait()
        return Delivered("applied", state="successful")


async def test_an_item_is_told_of_when_it_has_come_and_when_it_has_left() -> None:
    """The heartbeat of a worker that had nothing in flight sleeps until then for long."""
    runner, chance = Works(), random.Random(1)
    counts: Any = SimpleNamespace(popped=lambda queue: None, left=lambda queue: None)
    services = WorkerServices(
        "me",
        cast(Any, None),
        cast(Any, None),
        counts,
        Log(write=lambda level, line: None),
        chance,
    )
    told: asyncio.Queue[int] = asyncio.Queue()
    consumer = Consumer(
        "q",
        cast(Runner, runner),
        rules=PopRules(1, poppers=lambda: 1),
        services=services,
        wakeup=Wakeup(60, chance=chance),
        turns=Turns("me", lambda: 1, clock=time.monotonic, chance=chance),
        on_change=lambda: told.put_nowait(consumer.working),
    )
    consumer.take_late(Workitem(id="a", payload=None))
    assert told.get_nowait() == 1
    runner.ends.set()
    async with asyncio.timeout(60):
        assert await told.get() == 0
    assert told.empty()
