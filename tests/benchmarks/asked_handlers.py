"""The handlers of the fleet that is asked about: one in eight orders fails, in four ways."""

import asyncio

from pydantic import BaseModel

from worker import BusinessError, handler


class Work(BaseModel):
    """What every item carries."""

    n: int


@handler("orders")
async def order(work: Work) -> None:
    """Fail in one of four ways, or do nothing."""
    if work.n % 8:
        return
    way = work.n // 8 % 4
    if way == 0:
        raise BusinessError(f"order {work.n} is gone", code="GONE")
    if way == 1:
        raise BusinessError(f"customer 'c{work.n}' has no price")
    if way == 2:
        raise TimeoutError(f"host 10.0.{work.n % 200}.7 is away")
    raise ValueError(f"amount {work.n}.5 is no integer")


@handler("reports", concurrency=2)
async def report(work: Work) -> None:
    """Take long."""
    await asyncio.Event().wait()
