"""No more pops: whether that was said, and what is waited for until then."""

import asyncio
from contextlib import suppress

from worker.openiap.pool import Pool


class Quiet(asyncio.Event):
    """Of one consumer; set for good."""

    async def pause(self, seconds: float) -> None:
        """Wait for so many seconds, but not beyond ``set``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()

    async def or_ready(self, pool: Pool) -> None:
        """Wait for a link; a worker that is told to stop meanwhile does not wait for it."""
        waits = {
            asyncio.create_task(pool.wait_ready()),
            asyncio.create_task(self.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
