"""The handlers that are measured: as users write them, typed, with nothing to do."""

import asyncio
import time

from pydantic import BaseModel

from worker import handler


class Work(BaseModel):
    """What every item carries; further fields are let through."""

    n: int


@handler("noop")
async def noop(work: Work) -> None:
    """Do nothing."""


@handler("wait5")
async def wait5(work: Work) -> None:
    """Wait for 5 ms, as for somebody else's answer."""
    await asyncio.sleep(0.005)


@handler("burn5", process=True, concurrency=1)
def burn5(work: Work) -> None:
    """Compute for 5 ms."""
    until = time.thread_time() + 0.005
    while time.thread_time() < until:
        pass
