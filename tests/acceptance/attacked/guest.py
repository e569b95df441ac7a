"""A client of the tests' own that outlives restarts and wrong clocks of the server."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.acceptance.outsider import Outsider
from tests.acceptance.processes import PASSWORD, USER, Overdue

T = TypeVar("T")

TRY: float = 10.0
"""Seconds for one try of a call."""
PATIENCE: float = 90.0


class Guest:
    """Signs in anew for each piece of work, again and again until it is done."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def does(self, work: Callable[[Outsider], Awaitable[T]]) -> T:
        """Do some calls; what was done before a link broke is done again.

        Raises:
            Overdue: the server was away for too long.
        """
        end = time.monotonic() + PATIENCE
        while True:
            try:
                async with asyncio.timeout(TRY), Outsider(self._port, USER, PASSWORD) as outsider:
                    return await work(outsider)
            except (OSError, EOFError, RuntimeError, TimeoutError) as error:
                reason = error
            except Exception as error:  # websockets has a dozen of its own for a link that broke
                if not type(error).__module__.startswith("websockets"):
                    raise
                reason = error
            if time.monotonic() > end:
                raise Overdue(f"the server was away for {PATIENCE:.0f} s: {reason!r}")
            await asyncio.sleep(0.2)
