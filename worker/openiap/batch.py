"""Many calls in flight at once: their results in order, an error in the place of its call."""

import asyncio
import inspect
from collections.abc import Awaitable, Iterable, Mapping
from typing import Final, TypeVar

from worker.durations import in_short
from worker.openiap.errors import OpenIAPError

T = TypeVar("T")

AT_ONCE: Final = 100
MOST_AT_ONCE: Final = 10_000


async def batch(calls: Iterable[Awaitable[T]], *, at_once: int = AT_ONCE) -> list[T | OpenIAPError]:
    """Wait for many calls, which go out one behind the other without a wait for answers::

        found = await batch(openiap.query("invoices", {"number": n}) for n in numbers)

    They are independent: one that fails has its error in its place, and the others go on. An error
    that is none of OpenIAP's is raised once all have ended. Cancelled, all that has not ended is
    cancelled.

    Args:
        calls: of a client, or of anything else that is awaited; one that makes them one by one is
            asked as they are begun.
        at_once: how many are in flight at most.

    Raises:
        TypeError: ``calls`` is no list or generator.
        ValueError: ``at_once`` is not from 1 to 10,000.
    """
    if isinstance(calls, str | bytes | Mapping) or not isinstance(calls, Iterable):
        raise TypeError(f"batch: {calls!r}; allowed: a list or a generator of calls")
    if type(at_once) is not int or not 1 <= at_once <= MOST_AT_ONCE:
        raise ValueError(f"batch: at_once = {in_short(at_once)}; allowed: 1 to {MOST_AT_ONCE:,}")
    waiting = enumerate(calls)
    results: dict[int, T | OpenIAPError] = {}
    faults: list[Exception] = []

    async def work() -> None:
        for place, call in waiting:
            try:
                if not inspect.isawaitable(call):
                    kind = type(call).__name__
                    raise TypeError(f"batch: call {place} is of type {kind}; allowed: awaitables")
                results[place] = await call
            except OpenIAPError as error:
                results[place] = error
            except Exception as error:  # of the caller's own: told when nothing is in flight
                faults.append(error)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
    finally:
        for _, call in waiting:  # cancelled before they were begun
            if asyncio.iscoroutine(call):
                call.close()
    if faults:
        raise faults[0]
    return [results[place] for place in sorted(results)]
