"""A program that takes items, as tests want it: ``work.py`` runs it where the plan says ``take``.

``take`` is ``async`` or ``sync``: a loop for each queue, on one event loop or in blocking threads.
What became of each item is noted in the journal when its block was left.
"""

import asyncio
import contextlib
import os
import signal
import threading
from typing import Any

from tests.acceptance.deeds import JOURNAL, noted
from worker import Producer, connect, sync
from worker.settings import Settings, load


def main(plan: dict[str, Any]) -> int:
    """Take items until somebody ends this process."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = load(plan["settings"], environment={}).settings
    if plan["take"] == "async":
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(on_a_loop(settings, plan["queues"]))
    else:
        blocking(settings, plan["queues"])
    return 0


async def on_a_loop(settings: Settings, queues: list[str]) -> None:
    """Take items of all queues at once."""
    async with connect(settings) as producer:
        say_ready()
        await asyncio.gather(*(take_all(producer, queue) for queue in queues))


async def take_all(producer: Producer, queue: str) -> None:
    """Take items of one queue, one after another."""
    async for item in producer.items(queue, wait=None):
        async with item:
            item.result = await noted(item.payload, item)  # type: ignore[arg-type]
        JOURNAL.note("left", item=item.id, state=item.state)


def blocking(settings: Settings, queues: list[str]) -> None:
    """The same in threads."""

    def take_all(queue: str) -> None:
        for item in openiap.items(queue, wait=None):
            with item:
                item.result = asyncio.run(noted(item.payload, item))  # type: ignore[arg-type]
            JOURNAL.note("left", item=item.id, state=item.state)

    with sync.connect(settings) as openiap:
        say_ready()
        threads = [threading.Thread(target=take_all, args=(queue,)) for queue in queues]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def say_ready() -> None:
    """Tell the test that this process is connected."""
    os.write(1, f"[{os.getpid()}] ready\n".encode())
