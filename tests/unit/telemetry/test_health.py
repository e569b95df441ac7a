"""The health listener answers the truth, most of all while the loop does not."""

import asyncio
import http.client
import importlib.util
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from worker.errors import StateError
from worker.telemetry.counts import Counts
from worker.telemetry.health import MOST_AT_ONCE, Health
from worker.telemetry.loopwatch import Blockage, LoopWatch
from worker.telemetry.prometheus import MetricsPage

_spec = importlib.util.spec_from_file_location("blockers", Path(__file__).with_name("blockers.py"))
assert _spec is not None
assert _spec.loader is not None
blockers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(blockers)


@pytest.fixture
def health() -> Iterator[Health]:
    listener = Health("127.0.0.1", 0, metrics=MetricsPage(Counts()))
    listener.start()
    yield listener
    listener.stop()


def get(health: Health, path: str, method: str = "GET") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", health.port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.headers["Content-Type"] == "application/json" and body:
        return response.status, json.loads(body)
    return response.status, body.decode()


def test_ready_lists_every_reason_until_all_is_well(health: Health) -> None:
    link = ["not signed in"]
    health.add_condition("link", lambda: link[0])
    health.add_condition("disk", lambda: "")
    health.add_condition("odd", lambda: str(1 / len(link[0])) if not link[0] else "")
    assert get(health, "/readyz") == (
        503,
        {"status": "not ready", "reasons": {"link": "not signed in"}},
    )
    link[0] = ""
    assert get(health, "/readyz") == (
        503,
        {"status": "not ready", "reasons": {"odd": "cannot be told (ZeroDivisionError)"}},
    )
    health.add_condition("odd", lambda: "")
    assert get(health, "/readyz") == (200, {"status": "ready"})


def test_metrics_and_registered_routes_are_served(health: Health) -> None:
    status, page = get(health, "/metrics")
    assert status == 200
    assert "# HELP openiap_worker_in_flight" in page
    health.add_route("/scale", lambda q: (200, "text/plain", f"{q['queue']}=3".encode()))
    assert get(health, "/scale?queue=a%20b&queue=c") == (200, "c=3")
    status, body = get(health, "/scale")
    assert (status, body) == (500, {"error": "KeyError in the page"})


def test_what_is_not_there_says_what_is(health: Health) -> None:
    status, body = get(health, "/secrets")
    assert status == 404
    assert body["pages"] == ["/livez", "/readyz", "/metrics"]
    assert get(health, "/livez", "HEAD") == (200, "")
    assert get(health, "/livez", "POST")[0] == 501
    assert get(health, "/livez", "DELETE")[0] == 501


def test_a_port_in_use_is_one_sentence(health: Health) -> None:
    other = Health("127.0.0.1", health.port, metrics=MetricsPage(Counts()))
    with pytest.raises(StateError, match=rf"cannot use 127.0.0.1:{health.port}: Address already"):
        other.start()
    other.stop()
    nowhere = Health("no-such-host.invalid", 0, metrics=MetricsPage(Counts()))
    with pytest.raises(StateError, match="cannot use no-such-host"):
        nowhere.start()


def test_silent_callers_hold_nobody_up(health: Health) -> None:
    silent = [
        socket.create_connection(("127.0.0.1", health.port), 10) for _ in range(MOST_AT_ONCE - 2)
    ]
    try:
        assert get(health, "/livez")[0] == 200
    finally:
        for connection in silent:
            connection.close()


def test_stopping_leaves_no_thread_and_frees_the_port() -> None:
    before = threading.active_count()
    listener = Health("127.0.0.1", 0, metrics=MetricsPage(Counts()))
    listener.start()
    port = listener.port
    listener.stop()
    listener.stop()
    assert threading.active_count() == before
    again = Health("127.0.0.1", port, metrics=MetricsPage(Counts()))
    again.start()
    again.stop()


class Observer(threading.Thread):
    """Asks ``/livez`` from outside of the loop until it is red, then until it is green again."""

    def __init__(self, health: Health) -> None:
        super().__init__(daemon=True)
        self.health = health
        self.red: dict[str, Any] = {}
        self.red_after = self.green_after = 0.0
        self.ready_reasons: dict[str, str] = {}
        self.began = time.monotonic()

    def run(self) -> None:
        until = self.began + 30
        while time.monotonic() < until:
            status, body = get(self.health, "/livez")
            if status == 503 and not self.red:
                self.red, self.red_after = body, time.monotonic() - self.began
                self.ready_reasons = get(self.health, "/readyz")[1]["reasons"]
            if status == 200 and self.red:
                self.green_after = time.monotonic() - self.began
                return
            time.sleep(0.05)


async def test_livez_is_red_within_six_seconds_and_names_who_blocks(health: Health) -> None:
    watch = health.watch_loop(
        asyncio.get_running_loop(), threading.get_ident(), lambda: "book (item 5f0c)"
    )
    innocent = asyncio.create_task(blockers.behaves(30))
    await asyncio.to_thread(get, health, "/livez")
    observer = Observer(health)
    observer.start()
    await asyncio.sleep(0)
    await asyncio.create_task(blockers.blocks(8))
    await asyncio.to_thread(observer.join, 20)
    innocent.cancel()
    watch.stop()
    assert 4 < observer.red_after < 6.0  # 5 s without an answer, asked twice a second
    assert observer.red["status"] == "blocked"
    assert observer.red["seconds"] >= 5
    assert observer.red["blocked_by"].startswith("blockers.blocks, line ")
    assert observer.red["blocked_by"].endswith("on the loop: book (item 5f0c)")
    assert "time.sleep(seconds)" in observer.red["stack"][-1]
    assert list(observer.ready_reasons) == ["loop"]
    assert 0 < observer.green_after < 15


async def test_a_blockage_is_told_once_and_a_busy_loop_is_none() -> None:
    told: list[Blockage] = []
    watch = LoopWatch(
        asyncio.get_running_loop(),
        threading.get_ident(),
        lambda: "",
        on_blocked=told.append,
        ask_every=0.02,
        red_after=0.2,
    )
    watch.start()
    for _ in range(20):
        await asyncio.sleep(0.01)
        time.sleep(0.01)
    assert told == []
    time.sleep(1.0)
    assert len(told) == 1
    await asyncio.sleep(0.2)
    assert watch.alive
    assert watch.blockage() is None
    time.sleep(1.0)
    assert len(told) == 2
    watch.stop()
    watch.stop()
    assert (
        told[0]
        .culprit.rpartition(",")[0]
        .endswith(".test_a_blockage_is_told_once_and_a_busy_loop_is_none")
    )


async def test_a_description_that_fails_hides_nothing() -> None:
    def fails() -> str:
        raise RuntimeError("Set changed size during iteration")

    loop = asyncio.get_running_loop()
    told: list[Blockage] = []
    watch = LoopWatch(
        loop, threading.get_ident(), fails, on_blocked=told.append, ask_every=0.02, red_after=0.2
    )
    watch.start()
    await asyncio.create_task(blockers.blocks(1.0))
    watch.stop()
    (blocked,) = told
    assert blocked.culprit.startswith("blockers.blocks, line ")
    assert "unknown (RuntimeError)" in blocked.culprit


def test_a_closed_loop_ends_the_watch() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    watch = LoopWatch(loop, threading.get_ident(), lambda: "", ask_every=0.01)
    watch.start()
    watch._thread.join(10)
    assert not watch._thread.is_alive()
