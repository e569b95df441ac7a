"""What a fleet sends that has nothing to do, by kind; minutes pass as soon as everybody waits."""

import asyncio
import selectors
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.engine.conftest import PASSWORD, USER, create_queue
from worker import handler
from worker.app.application import Application
from worker.engine.daemon import Daemon
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.factory import make_client
from worker.settings import load

WORKERS: Final = 10
QUEUES: Final = ("q", "r", "s")
SETTLED: Final = 120.0
MINUTES: Final = 10
LOOKS: Final = 40
NOT_MESSAGES: Final = frozenset({"connections", "wakeups", "unknown", "ratelimited"})


class Time:
    """Seconds that the clocks of this process run ahead of the real ones."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.jumps = False


class Jumping(selectors.DefaultSelector):
    """Waits for no timer: what is on its way over loopback is there at once, and else time goes on
    to the next timer."""

    LEAST: Final = 0.0005
    """Seconds that what else goes on has."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self._time.jumps or timeout is None or timeout <= self.LEAST:
            return super().select(timeout)
        found = super().select(self.LEAST)
        if not found:
            self._time.ahead += timeout - self.LEAST
        return found


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Time]:
    """Clocks that run ahead."""
    ahead = Time()
    monotonic, wall, any_clock = time.monotonic, time.time, time.clock_gettime
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + ahead.ahead)
    monkeypatch.setattr(time, "time", lambda: wall() + ahead.ahead)
    monkeypatch.setattr(time, "clock_gettime", lambda clock: any_clock(clock) + ahead.ahead)
    yield ahead
    ahead.jumps = False


@handler("q", concurrency=4)
async def first(payload: dict[str, Any]) -> None:
    """Gets nothing."""


@handler("r")
async def second(payload: dict[str, Any]) -> None:
    """Gets nothing."""


@handler("s")
async def third(payload: dict[str, Any]) -> None:
    """Gets nothing."""


async def begin(server: LocalServer, folder: Path, stack: AsyncExitStack) -> list[Daemon]:
    """Start workers of three queues, as they are by default."""
    started = []
    for number in range(WORKERS):
        values = {
            "url": server.ws_url,
            "username": USER,
            "password": PASSWORD,
            "state_dir": str(folder / str(number)),
            "worker_id": f"w{number}",
            "client": "native",  # has no threads, whose work no jump waits for
            "log_level": "warn",
        }
        settings = load(values, environment={}).settings
        if not number:
            client = make_client(settings)
            await client.connect()
            for queue in QUEUES:
                await create_queue(client, queue, amqpqueue="")
            await client.disconnect()
        started.append(Daemon(settings, Application.of(first, second, third)))
        await started[-1].start()
        stack.push_async_callback(started[-1].stop)
    return started


async def idle_minutes(ahead: Time, folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Return the messages of a minute, by kind, and why some worker was not ready."""
    options = ServerOptions(
        users={USER: PASSWORD},
        pops_compete=True,
        pop_contention=True,
        grpc_enabled=False,
        clock=lambda: time.time(),
    )
    unready: dict[str, str] = {}
    async with LocalServer(options) as server, AsyncExitStack() as stack:
        workers = await begin(server, folder, stack)
        ahead.jumps = True
        await asyncio.sleep(SETTLED)
        before = Counter(server.services.stats)
        for _ in range(LOOKS):
            await asyncio.sleep(60 * MINUTES / LOOKS)
            for worker in workers:
                unready |= worker.telemetry.reasons()
        ahead.jumps = False
        found = Counter(server.services.stats)
    found.subtract(before)
    sent = {name: count / MINUTES for name, count in found.items() if name not in NOT_MESSAGES}
    return {name: count for name, count in sent.items() if count}, unready


@pytest.mark.dear
def test_ten_idle_workers_of_three_queues_stay_ready_and_send_less_than_a_message_a_second(
    jumping: Time, tmp_path: Path
) -> None:
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Jumping(jumping))) as runner:
        sent, unready = runner.run(idle_minutes(jumping, tmp_path))
    assert not unready
    assert not {"count", "getelement"} & set(sent), "answered heartbeats are signs of life enough"
    assert sent.pop("updateone") == pytest.approx(33, abs=1.5), "heartbeats: 6 and 9 times 3"
    assert sent.pop("query") < 18, "who is there, what is in processing, open groups"
    assert sent.pop("popworkitem") < 7, "polls, shared by the fleet"
    assert sum(sent.values()) < 1, f"what is done once an hour: {sent}"
