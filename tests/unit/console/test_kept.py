"""Pages that show the same are told one after the other."""

import asyncio
from typing import Any

from worker.console.live.entries import Kept
from worker.console.live.topics import Seen

DEADLINE = 60.0


async def test_the_first_is_told_at_once_and_the_others_in_turn() -> None:
    kept, told = Kept(), asyncio.Queue[tuple[int, Any]]()
    for number in range(3):
        kept.add(lambda seen, number=number: told.put_nowait((number, seen.value)), number + 1)
    kept.tell(Seen("a"))
    assert [told.get_nowait()] == [(0, "a")]
    assert told.empty()
    kept.tell(Seen("b"))  # meanwhile: who was told is told again, after those who were not
    async with asyncio.timeout(DEADLINE):
        assert [await told.get() for _ in range(3)] == [(1, "b"), (2, "b"), (0, "b")]
    kept.tell(Seen("c"))
    async with asyncio.timeout(DEADLINE):
        assert {await told.get() for _ in range(3)} == {(0, "c"), (1, "c"), (2, "c")}
    assert told.empty()


async def test_who_looks_no_more_is_not_told_any_more() -> None:
    kept, told = Kept(), asyncio.Queue[int]()
    marks = [
        kept.add(lambda seen, number=number: told.put_nowait(number), number + 1)
        for number in range(3)
    ]
    kept.tell(Seen("a"))
    assert told.get_nowait() == 0
    assert not kept.remove(marks[1])
    async with asyncio.timeout(DEADLINE):
        assert await told.get() == 2
    kept.tell(Seen("b"))
    kept.clear()
    async with asyncio.timeout(DEADLINE):
        while kept._next is not None:
            await asyncio.sleep(0.001)
    assert told.qsize() <= 1, "at most who was told at once"


async def test_one_alone_waits_for_nobody() -> None:
    kept, told = Kept(), list[Any]()
    kept.add(lambda seen: told.append(seen.value), 1)
    for value in range(5):
        kept.tell(Seen(value))
    assert told == [0, 1, 2, 3, 4]


async def test_what_one_page_shows_changes_at_once() -> None:
    kept, told = Kept(), list[str]()
    for page in (1, 2, 1, None):
        kept.add(lambda seen, page=page: told.append(f"{seen.value}{page}"), page)
    kept.tell(Seen("a"))
    assert told == ["aNone", "a1", "a1"]
    async with asyncio.timeout(DEADLINE):
        while len(told) < 4:
            await asyncio.sleep(0.001)
    assert told[3] == "a2"
