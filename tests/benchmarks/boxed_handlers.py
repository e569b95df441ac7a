"""What ``outofbox.py`` measures, given to ``openiap-worker run`` by path: handlers as users write
them. It imports nothing of the benchmarks, so that the worker of another tree can take it as well.
"""

import asyncio

from pydantic import BaseModel

from worker import handler


class Number(BaseModel):
    """What a small item carries."""

    n: int


class Row(BaseModel):
    """One row of a payload."""

    n: int
    text: str


class Rows(BaseModel):
    """A payload of any size, each field of which is validated."""

    rows: list[Row]


@handler("boxed-noop", concurrency=32)
async def noop(work: Number) -> None:
    """Do nothing."""


@handler("boxed-rows", concurrency=32)
async def rows(work: Rows) -> None:
    """Do nothing with validated rows."""


@handler("boxed-wait5", concurrency=10)
async def wait5(work: Number) -> None:
    """Wait for 5 ms, as for somebody else's answer, in ten slots."""
    await asyncio.sleep(0.005)
