"""Values under faults: several add to one number and race for keys while links are cut and frozen
and the server is killed; every add counts once, and every key has one winner.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.acceptance.connected import connected_through
from tests.acceptance.processes import Server
from tests.acceptance.proxy import Proxy
from worker.state.values import Values

HEAD: Final = [
    "client",
    "adds",
    "programs",
    "cuts",
    "frozen",
    "server kills",
    "answers lost",
    "lost",
    "twice",
    "keys",
    "keys without one winner",
]
FROZEN: Final = 0.5
"""Seconds."""


@dataclass(slots=True)
class Added:
    """What came of it.

    Attributes:
        answers: what each add was told.
        number: what is stored in the end.
        winners: by key, how many were told that they had set it.
    """

    client: str
    adds: int
    programs: int
    cuts: int = 0
    freezes: int = 0
    kills: int = 0
    swallowed: int = 0
    answers: list[int] = field(default_factory=list)
    number: int = 0
    winners: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        return self.adds - len(set(self.answers))

    @property
    def twice(self) -> int:
        return self.number - self.adds

    @property
    def won_otherwise(self) -> int:
        return sum(number != 1 for number in self.winners.values())

    def faults(self) -> list[str]:
        """Return what did not hold."""
        found = {"lost": self.lost, "twice": self.twice, "winners": self.won_otherwise}
        return [f"{name}: {number}" for name, number in found.items() if number]


def row(done: Added) -> list[object]:
    """Return a row of the table."""
    deeds = [done.cuts, done.freezes, done.kills, done.swallowed]
    ends = [done.lost, done.twice, len(done.winners), done.won_otherwise]
    return [done.client, done.adds, done.programs, *deeds, *ends]


async def values_under_faults(
    client: str, folder: Path, *, adds: int, programs: int = 3, deadline: float
) -> Added:
    """Add and race while links and the server are struck.

    Raises:
        TimeoutError: not all ended in ``deadline`` seconds.
    """
    done = Added(client, adds, programs)
    server = Server(folder)
    await server.start()
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(deadline):
            proxy = await stack.enter_async_context(Proxy(server.port))

            async def values() -> Values:
                producer = await stack.enter_async_context(connected_through(proxy, client))
                return producer.state.values

            sources = [await values() for _ in range(programs)]
            shares = [len(range(n, adds, programs)) for n in range(programs)]
            tasks = [
                asyncio.create_task(_work(done, source, share))
                for source, share in zip(sources, shares, strict=True)
            ]
            for turn in range(1, 6):
                while len(done.answers) < turn * adds // 6:
                    await asyncio.sleep(0.01)
                await _strike(done, proxy, server, turn)
            await asyncio.gather(*tasks)
            done.number = (await sources[0].get("number")).value
    finally:
        await server.clean_up()
    return done


async def _work(done: Added, values: Values, adds: int) -> None:
    for turn in range(adds):
        done.answers.append(await values.incr("number"))
        if turn % 5 == 0:
            key = f"key-{turn}"
            won = await values.set(key, turn, nx=True, ttl="1h")
            done.winners[key] = done.winners.get(key, 0) + won


async def _strike(done: Added, proxy: Proxy, server: Server, turn: int) -> None:
    if turn % 3 == 0:
        await server.restart()
        done.kills += 1
    elif turn % 3 == 1:
        # Done, and the answer never comes: the link drops instead.
        lost = proxy.tap("insertone", "reply", act="drop")
        await lost.reached.wait()
        done.swallowed += lost.count
        proxy.cut()
        done.cuts += 1
    else:
        proxy.freeze()
        await asyncio.sleep(FROZEN)
        proxy.restore()
        done.freezes += 1
