"""All of telemetry as the daemon uses it: readiness says what is wrong, secrets stay secret."""

import asyncio
import http.client
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker.errors import StateError
from worker.settings import Settings
from worker.telemetry import telemetry as room
from worker.telemetry.log import Log
from worker.telemetry.telemetry import Telemetry


class Pool:
    ready = True
    rate = 25.0
    refusals = 3


class Outbox:
    failure = ""
    unreadable = 0

    @property
    def healthy(self) -> bool:
        return not self.failure

    def size(self) -> int:
        return 4


class Consumer:
    def __init__(self) -> None:
        self.trouble = ""
        self.last_pop = time.monotonic()
        self.free = 2
        self.lost = 0


class Queues:
    def __init__(self) -> None:
        self.unknown: set[str] = set()


class Client:
    def __init__(self) -> None:
        self.server_config: dict[str, Any] = {}
        self.lines: list[str] = []
        self.listener: Any = None

    def export_line(self, level: str, line: str) -> None:
        self.lines.append(f"{level}: {line}")

    def divert_lines(self, listener: Any) -> None:
        self.listener = listener


def settings(**more: Any) -> Settings:
    values = {"health_port": 0, "state_dir": Path("/nowhere"), "password": "hunter2-and-more"}
    return Settings(**{**values, **more})


def readyz(telemetry: Telemetry) -> tuple[int, dict[str, str]]:
    assert telemetry.health is not None
    connection = http.client.HTTPConnection("127.0.0.1", telemetry.health.port, timeout=60)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        return response.status, json.loads(response.read()).get("reasons", {})
    finally:
        connection.close()


async def test_readiness_tells_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: now))
    lines: list[str] = []
    log = Log(write=lambda level, line: lines.append(line))
    telemetry = Telemetry(settings(), log=log)
    pool, outbox, consumer, queues = Pool(), Outbox(), Consumer(), Queues()

    async def reasons() -> dict[str, str]:
        status, found = await asyncio.to_thread(readyz, telemetry)
        assert status == (503 if found else 200)
        return found

    await telemetry.start(lambda: "")
    assert list(await reasons()) == ["started"]
    short: dict[str, str] = {}
    telemetry.watch(pool, outbox, {"q": consumer}, queues, lambda: short)
    telemetry.ready()
    assert await reasons() == {}
    pool.ready = False
    assert await reasons() == {"link": "not signed in to OpenIAP"}
    pool.ready = True
    queues.unknown.add("q")
    assert await reasons() == {"queues": "unknown queues: q"}
    queues.unknown.clear()
    outbox.failure = "state.db: disk full"
    assert await reasons() == {"outbox": "state.db: disk full"}
    outbox.failure = ""
    short["q"] = "a.txt cannot be kept"
    assert await reasons() == {"shortages": "q is not popped: a.txt cannot be kept"}
    assert dict(telemetry.counts.worker())["short_queues"] == 1.0
    short.clear()
    consumer.lost = 2
    assert await reasons() == {"threads": "threads that cannot be stopped hold slots: 2 of q"}
    consumer.lost = 0
    consumer.last_pop = now - 80
    consumer.trouble = "Request timed out"
    assert await reasons() == {
        "popping": "q: no pop was answered for 1m20s (Request timed out)",
    }
    consumer.free = 0  # all slots are busy: nothing is to be popped
    assert await reasons() == {}
    numbers = dict(telemetry.counts.worker())
    assert numbers.pop("loop_silent_seconds") < 5.0
    assert numbers == {
        "connected": 1.0,
        "ready": 1.0,
        "effective_rate": 25.0,
        "rate_limited": 3.0,
        "lost_threads": 0.0,
        "short_queues": 0.0,
        "paused_queues": 0.0,
        "misfits": 0.0,
        "outbox_size": 4.0,
        "outbox_healthy": 1.0,
    }
    telemetry.stopping()
    assert list(await reasons()) == ["started"]
    await telemetry.stop()
    await telemetry.stop()
    with pytest.raises(OSError):
        readyz(telemetry)


@pytest.mark.parametrize("told_by", ["server", "settings", "nobody"])
async def test_a_client_exports_lines_where_somebody_collects_them(told_by: str) -> None:
    lines: list[str] = []
    log = Log("verbose", write=lambda level, line: lines.append(line))
    url = "http://127.0.0.1:4317"
    chosen = settings(health_port=None, log_url=url if told_by == "settings" else "")
    telemetry = Telemetry(chosen, log=log)
    await telemetry.start(lambda: "")
    client = Client()
    if told_by == "server":
        client.server_config["otel_log_url"] = url
    telemetry.listen_to(client)
    telemetry.use(client)
    telemetry.log.error("signed in with hunter2-and-more")
    client.listener("info", "said by the client with hunter2-and-more")
    await telemetry.stop()
    telemetry.log.info("bye")
    written = ["signed in with ***", "said by the client with ***", "bye"]
    assert lines == written
    exported = ["error: signed in with ***", "info: said by the client with ***"]
    assert client.lines == ([] if told_by == "nobody" else exported)
    assert telemetry.health is None


async def test_a_port_in_use_is_refused_at_start() -> None:
    first = Telemetry(settings(), log=Log("error"))
    await first.start(lambda: "")
    assert first.health is not None
    second = Telemetry(settings(health_port=first.health.port), log=Log("error"))
    with pytest.raises(StateError, match="health_port"):
        await second.start(lambda: "")
    await second.stop()
    await first.stop()
