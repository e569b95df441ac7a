"""A service goes on whatever its rounds do, and ends when it is told to."""

import asyncio
import random

import pytest

from worker import service as room
from worker.service import Service, cancelled

FAR = 1e6
"""Seconds that no test waits for."""


class Counting(Service):
    """Notes its rounds, and does in each what a test asks for."""

    def __init__(
        self,
        *,
        pause: float = FAR,
        first: float = 0.0,
        error: Exception | None = None,
        answer: float | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.errors: list[Exception] = []
        super().__init__(
            "counting", pause=pause, first=first, on_error=self.errors.append, chance=chance
        )
        self.rounds: asyncio.Queue[int] = asyncio.Queue()
        self.held = asyncio.Event()
        self.held.set()
        self.count = 0
        self._error = error
        self._answer = answer

    async def round(self) -> float | None:
        self.count += 1
        self.rounds.put_nowait(self.count)
        await self.held.wait()
        if self._error is not None:
            raise self._error
        return self._answer

    async def until(self, number: int) -> None:
        """Return once a round of this number has begun."""
        async with asyncio.timeout(60):
            while await self.rounds.get() < number:
                pass


async def test_rounds_follow_each_other_after_a_pause() -> None:
    service = Counting(pause=0.0)
    await service.start()
    await service.until(5)
    await service.stop()


async def test_a_trigger_cuts_the_first_pause_and_those_after_it() -> None:
    service = Counting(first=FAR)
    await service.start()
    for number in (1, 2, 3):
        service.trigger()
        await service.until(number)
    await service.stop()


async def test_a_trigger_in_a_round_is_followed_by_another_one() -> None:
    service = Counting()
    service.held.clear()
    await service.start()
    await service.until(1)
    service.trigger()
    service.held.set()
    await service.until(2)
    await service.stop()


async def test_a_round_says_when_the_next_one_is() -> None:
    service = Counting(answer=0.0)
    await service.start()
    await service.until(3)
    await service.stop()


@pytest.mark.parametrize("error", [ValueError("odd"), TimeoutError(), KeyError("x")], ids=repr)
async def test_an_error_is_told_and_ends_nothing(error: Exception) -> None:
    service = Counting(pause=0.0, error=error)
    await service.start()
    await service.until(3)
    await service.stop()
    assert service.errors[:2] == [error, error]


async def test_to_start_or_stop_twice_is_to_do_it_once() -> None:
    service = Counting()
    await service.stop()
    await service.start()
    await service.start()
    await service.until(1)
    assert service.running
    await service.stop()
    await service.stop()
    assert (service.running, service.count) == (False, 1)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "counting"]


async def test_what_was_stopped_can_be_started_again() -> None:
    service = Counting()
    for number in (1, 2):
        await service.start()
        await service.until(number)
        await service.stop()


async def test_a_stop_ends_a_round_in_its_middle() -> None:
    service = Counting()
    service.held.clear()
    await service.start()
    await service.until(1)
    await service.stop()
    assert service.errors == []


async def test_a_round_that_will_not_end_holds_up_a_stop_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "STOP_WITHIN", 0.01)
    stubborn = Counting()
    began, ending = asyncio.Event(), asyncio.Event()

    async def never() -> None:
        began.set()
        while not ending.is_set():
            try:
                await ending.wait()
            except asyncio.CancelledError:
                continue
        raise asyncio.CancelledError

    monkeypatch.setattr(stubborn, "round", never)
    await stubborn.start()
    await asyncio.wait_for(began.wait(), 60)
    task = stubborn._task
    assert task is not None
    await asyncio.wait_for(stubborn.stop(), 60)
    assert [str(error) for error in stubborn.errors] == ["counting did not end within 0.01 s"]
    ending.set()
    await asyncio.wait({task}, timeout=60)
    assert task.cancelled()


async def test_pauses_are_spread_where_a_fleet_is_not_to_act_in_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float | None] = []
    timeout = asyncio.timeout

    def noted(seconds: float | None) -> asyncio.Timeout:
        waited.append(seconds)
        return timeout(0)

    service = Counting(pause=100.0, first=10.0, chance=random.Random(1))
    monkeypatch.setattr(room.asyncio, "timeout", noted)
    await service.start()
    while service.count < 50:
        await asyncio.sleep(0)
    monkeypatch.undo()
    await service.stop()
    first, *later = [seconds for seconds in waited if seconds is not None]
    assert 8 <= first <= 12
    assert 80 <= min(later) < 90 < 110 < max(later) <= 120


async def test_who_cancels_tasks_does_not_get_their_errors() -> None:
    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("at the end")

    tasks = [asyncio.create_task(failing()) for _ in range(2)]
    await asyncio.sleep(0)
    assert await cancelled(*tasks)
    assert await cancelled()
