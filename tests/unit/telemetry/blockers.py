"""Handlers as users write them; the tests look for their names in reports."""

import asyncio
import threading


async def blocks(blocked: threading.Event, release: threading.Event) -> None:
    """Forget that this is a coroutine."""
    blocked.set()
    _deeper(release)


def _deeper(release: threading.Event) -> None:
    release.wait(100)


async def behaves(seconds: float) -> None:
    await asyncio.sleep(seconds)
