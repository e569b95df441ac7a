"""Workers killed one after the other, and a server that is restarted meanwhile."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.acceptance.processes import Worker
from tests.acceptance.stage import Stage

KILL_EVERY: Final = 3.0
LEAST_KILLS: Final = 3


@dataclass(frozen=True)
class Dying:
    """How many workers live for how long; the server is restarted so many times meanwhile."""

    client: str
    workers: int
    seconds: float
    restarts: int
    seed: int = 1


async def let_die(dying: Dying, stage: Stage, workers: Sequence[Worker]) -> tuple[int, int]:
    """Start the workers, kill one every 3 s and start it again; returns kills and restarts.

    It goes on for longer where the machine is too slow for all restarts, or for a few kills.
    """
    chance = random.Random(dying.seed)
    kills = restarts = 0
    await asyncio.gather(*(worker.started() for worker in workers))
    begun = time.monotonic()
    ends = [(n + 1) * dying.seconds / (dying.restarts + 1) for n in range(dying.restarts)]
    while (ran := time.monotonic() - begun) < dying.seconds or ends or kills < LEAST_KILLS:
        if ends and ran > ends[0]:
            ends.pop(0)
            await stage.server.restart()
            restarts += 1
        victim = chance.choice(workers)
        await victim.kill()
        kills += 1
        await victim.start()
        await asyncio.sleep(max(0.0, begun + kills * KILL_EVERY - time.monotonic()))
    return kills, restarts


HEAD: Final = ["client", "workers", "seconds", "kills", "server restarts"]
"""How the head of a table begins that tells what came of it."""


def row_of(dying: Dying, kills: int, restarts: int) -> list[object]:
    """Return how its line begins."""
    return [dying.client, dying.workers, f"{dying.seconds:.0f}", kills, restarts]
