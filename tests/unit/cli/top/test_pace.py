"""One question a second: turns, whoever asks."""

import asyncio
from itertools import pairwise
from time import monotonic

from worker.cli.top.pace import Pace, paced


async def test_calls_of_several_rounds_share_one_pace() -> None:
    begun: list[float] = []

    class Asked:
        async def count(self, collection: str) -> int:
            begun.append(monotonic())
            return 1

    client = paced(Asked(), Pace(0.05, first=1))  # type: ignore[arg-type]
    assert await asyncio.gather(*(client.count("c") for _ in range(5))) == [1] * 5
    gaps = [after - before for before, after in pairwise(begun[1:])]
    assert len(gaps) == 3
    assert min(gaps) >= 0.045


async def test_a_slow_server_is_asked_for_half_of_its_time_at_most() -> None:
    pace = Pace(0.0, first=0)
    async with pace.turn():
        await asyncio.sleep(0.05)
    ended = monotonic()
    async with pace.turn():
        assert monotonic() - ended >= 0.045
