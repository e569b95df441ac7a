"""Limits of process handlers hold for all that they start, and nothing of it is left behind."""

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from worker.errors import ResourceLimitExceeded, TimeLimitExceeded


def living(sign: Path) -> list[int]:
    found = []
    for pid in map(int, sign.read_text().split()):
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize(
    ("how", "programs", "error"),
    [
        ("memory", 4, "memory limit of 300 MB"),
        ("cpu", 3, "CPU limit of 2s"),
        ("crash", 1, "exited with code 7"),
        ("leave", 1, ""),
        ("daemon", 2, ""),
    ],
)
async def test_limits_count_what_a_handler_started_and_none_of_it_stays(
    house: Any, eventually: Any, tmp_path: Path, how: str, programs: int, error: str
) -> None:
    executor, registered = await house.executor(house.sample("family"), slots=1)
    sign = tmp_path / "sign"
    call = house.call(registered, how=how, sign=str(sign), programs=programs)
    if error:
        with pytest.raises(ResourceLimitExceeded, match=error):
            await executor.run(call)
    else:
        assert await executor.run(call) == {"left": True}
        assert living(sign) == []  # before the item ends, not some time later
    await eventually(lambda: not living(sign))


async def test_a_program_in_a_session_of_its_own_ends_with_the_hard_timeout(
    house: Any, eventually: Any, tmp_path: Path
) -> None:
    executor, registered = await house.executor(house.sample("family"), slots=1)
    sign = tmp_path / "sign"
    run = asyncio.create_task(
        executor.run(house.call(registered, how="wait", sign=str(sign), programs=1))
    )
    await eventually(sign.exists)
    await eventually(lambda: bool(living(sign)))
    for attempt in executor._attempts:  # as its timer does, but not before the program runs
        attempt.give_up("timeout")
    with pytest.raises(TimeLimitExceeded):
        await run
    await eventually(lambda: not living(sign))


async def test_memory_that_forked_children_share_counts_once(house: Any) -> None:
    executor, registered = await house.executor(house.sample("sharing"), slots=1)
    assert await executor.run(house.call(registered)) == {"held": 150 << 20}
