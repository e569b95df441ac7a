"""Workers that push the same few keys all the time, and work what comes of it."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from worker import Client, Producer, handler, lifespan
from worker.openiap.errors import OpenIAPError
from worker.producer.sender import ClientSender

QUEUE: Final = "uniques"
KEYS: Final = 12
PAUSE: Final = 0.01
FRESH: Final = "unique-fresh"
ENOUGH: Final = "unique-enough"


def beside(name: str) -> Path:
    """Return a file that test and workers share."""
    return Path(os.environ["ACCEPTANCE_JOURNAL"]).with_name(name)


class Pushing:
    """What this worker pushed."""


async def push_for_ever(producer: Producer, chance: random.Random) -> None:
    """Push one key after another, and note each item that was not there before."""
    while not beside(ENOUGH).exists():
        key = f"key-{chance.randrange(KEYS)}"
        with suppress(OpenIAPError):
            pushed = await producer.push(QUEUE, {"key": key}, unique=key)
            line = f"{pushed.id} {'there' if pushed.existing else 'fresh'}\n"
            with beside(FRESH).open("a") as file:
                file.write(line)
        await asyncio.sleep(chance.uniform(0, PAUSE))


@lifespan
async def pushing(client: Client) -> AsyncIterator[Pushing]:
    """Push from the worker's start to its end."""
    task = asyncio.create_task(push_for_ever(Producer(ClientSender(client)), random.Random()))
    yield Pushing()
    task.cancel()


@handler(QUEUE, concurrency=4)
async def work(payload: dict[str, Any]) -> None:
    """Take a moment."""
    await asyncio.sleep(random.uniform(0.02, 0.2))
