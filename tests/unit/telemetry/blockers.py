"""Handlers as users write them; the tests look for their names in reports."""

import asyncio
import time


async def blocks(seconds: float) -> None:
    """Forget that this is a coroutine."""
    _deeper(seconds)


def _deeper(seconds: float) -> None:
    time.sleep(seconds)


async def behaves(seconds: float) -> None:
    await asyncio.sleep(seconds)
