"""What a handler does not use costs it nothing: not one call per item goes into those rooms.

Calls are counted, not time: the count of a no-op item is the same on every machine and under any
load. (For the proportions: such an item is about 1,200 Python calls in all.)
"""

import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType

import pytest

import worker
from tests.integration.engine.conftest import create_queue, until_finished, until_idle
from worker import Item, handler, middleware, on_success
from worker.app.application import Application

ITEMS = 60
ROOMS = [
    "app/contracts.py",
    "app/declared.py",
    "app/events.py",
    "app/lifespan.py",
    "app/middleware.py",
    "app/middleware_chain.py",
    "engine/checkpoints.py",
    "engine/delivery/follow_ups.py",
    "engine/execution/evidence.py",
    "item/context.py",
    "item/files.py",
    "item/metadata.py",
    "item/new_item.py",
    "item/push.py",
    "testing/doubles.py",
    "testing/readonly_client.py",
]


@pytest.fixture(params=["native"])
def client_name(request: pytest.FixtureRequest) -> str:
    """The other one spends its time outside Python."""
    return str(request.param)


async def calls_into(client, start, *declarations: object) -> dict[str, int]:
    """Work some items and return how many calls went into each room."""
    await create_queue(client, "q")
    daemon = await start(Application.of(*declarations))
    await until_idle(daemon)
    files: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            files[frame.f_code.co_filename] += 1

    sys.setprofile(count)
    try:
        for number in range(ITEMS):
            await client.push_workitem("q", {"n": number})
        await until_finished(client, "q", ITEMS, timeout=60)
        await until_idle(daemon)
    finally:
        sys.setprofile(None)
    folder = Path(worker.__file__).parent
    assert [room for room in ROOMS if not (folder / room).is_file()] == []
    found = dict.fromkeys(ROOMS, 0)
    for file, calls in files.items():
        path = Path(file)
        room = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""
        if room in found:
            found[room] += calls
    return found


async def test_an_item_that_uses_nothing_enters_none_of_the_rooms_around_it(client, start) -> None:
    @handler("q")
    async def work(payload: dict[str, int]) -> None: ...

    found = await calls_into(client, start, work)
    assert {room: calls for room, calls in found.items() if calls >= ITEMS // 2} == {}


async def test_what_is_used_is_seen_in_the_count(client, start) -> None:
    @middleware
    async def around(item: Item) -> AsyncIterator[None]:
        yield

    @on_success
    def note(event: worker.Event) -> None: ...

    @handler("q")
    async def work(payload: dict[str, int], item: Item) -> None:
        await item.progress(0.5)

    found = await calls_into(client, start, work, around, note)
    assert {
        "app/middleware_chain.py",
        "engine/checkpoints.py",
        "app/events.py",
        "item/metadata.py",
    } <= {room for room, calls in found.items() if calls >= ITEMS}
