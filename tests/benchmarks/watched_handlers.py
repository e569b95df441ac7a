"""The handler of the fleet whose console is watched: it waits, as for somebody else's answer."""

import asyncio

from pydantic import BaseModel

from worker import handler


class Work(BaseModel):
    """What every item carries."""

    n: int


@handler("watched", concurrency=8)
async def watched(work: Work) -> None:
    """Wait for a tenth of a second."""
    await asyncio.sleep(0.1)
