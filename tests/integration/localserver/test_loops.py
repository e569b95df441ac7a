"""What the server does over and over goes on, whatever a round of it raises."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.integration.localserver.conftest import DEADLINE
from worker.localserver import LocalServer
from worker.localserver.operations.sweep import Sweep
from worker.localserver.operations.wakeups import WakeUps
from worker.localserver.protocol.sessions import Sessions

Serve = Callable[..., Awaitable[LocalServer]]


@pytest.mark.parametrize(
    ("owner", "method", "setting"),
    [
        (WakeUps, "round", "wakeup_interval"),
        (Sweep, "round", "sweep_interval"),
        (Sessions, "keep_alive", "ping_interval"),
    ],
)
async def test_a_round_that_fails_is_said_once_and_followed_by_the_next(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, setting: str
) -> None:
    rounds, went_on = [0], asyncio.Event()

    async def failing(self: Any) -> None:
        rounds[0] += 1
        if rounds[0] > 3:
            went_on.set()
            return
        raise RuntimeError("odd")

    monkeypatch.setattr(owner, method, failing)
    said: list[str] = []
    await serve(log=said.append, **{setting: 0.01})
    async with asyncio.timeout(DEADLINE):
        await went_on.wait()
    assert [line.partition(" failed, and goes on: ")[2] for line in said if "odd" in line] == [
        "RuntimeError: odd"
    ]
