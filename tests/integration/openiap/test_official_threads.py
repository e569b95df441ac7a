"""Traps of the official library: it ends neither a client nor its threads, so they are used again.

Over websockets only: over gRPC the library cannot connect a client a second time.
"""

import asyncio
import threading

import psutil
import pytest

from tests.integration.openiap.conftest import Door
from worker.openiap.errors import AccessDenied, NotConnected
from worker.openiap.official.client import OfficialClient

pytestmark = pytest.mark.parametrize("idle_door", ["official-ws"], indirect=True)


async def test_connections_come_and_go_without_growth(door: Door) -> None:
    counts = []
    for _ in range(12):
        client = OfficialClient(door.options())
        await client.connect(timeout=60)
        await client.count("things")
        await client.disconnect()
        counts.append(native_threads())
    await no_more_than(counts[3] + 2, counts)


async def test_failed_connections_cost_no_threads(idle_door: Door) -> None:
    counts = []
    for _ in range(8):
        client = OfficialClient(idle_door.options(password="wrong"))
        with pytest.raises(AccessDenied):
            await client.connect(timeout=60)
        away = OfficialClient(idle_door.options(url="ws://127.0.0.1:9"))
        with pytest.raises(NotConnected):
            await away.connect(timeout=60)
        counts.append(native_threads())
    await no_more_than(counts[2] + 2, counts)


async def no_more_than(bound: int, counts: list[int]) -> None:
    """Wait until so many are left: those that are ending take a while on a busy machine.

    What grows with the connections never gets there.
    """
    try:
        async with asyncio.timeout(60):
            while native_threads() > bound:
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{native_threads()} threads, not {bound}: {counts}") from None


def native_threads() -> int:
    """Threads of this process that Python did not start."""
    return psutil.Process().num_threads() - threading.active_count()
