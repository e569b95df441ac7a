"""The health listener answers the truth, most of all while the loop does not."""

import asyncio
import contextlib
import ctypes
import http.client
import importlib.util
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from worker.errors import StateError
from worker.telemetry import listener as listening
from worker.telemetry.counts import Counts
from worker.telemetry.health import Health
from worker.telemetry.loop_watch import ASK_EVERY, RED_AFTER, Blockage, LoopWatch
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
    connection = http.client.HTTPConnection("127.0.0.1", health.port, timeout=60)
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


def test_a_reader_that_takes_openmetrics_gets_it(health: Health) -> None:
    for accept, kind in (
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text"),
        ("text/plain", "text/plain"),
    ):
        asked = Request(f"http://127.0.0.1:{health.port}/metrics", headers={"Accept": accept})
        with urlopen(asked, timeout=60) as answer:
            assert answer.headers["Content-Type"].startswith(kind)
            assert answer.read().endswith(b"# EOF\n") is (kind != "text/plain")


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


@pytest.mark.parametrize("said", [b"", b"GET /", b"GET /livez HTTP/1.1\r\nX: y"])
def test_a_thousand_slow_callers_hold_nobody_up(health: Health, said: bytes) -> None:
    slow = []
    try:
        for number in range(1000):
            caller = socket.create_connection(("127.0.0.1", health.port), 60)
            with contextlib.suppress(OSError):
                caller.sendall(said)
            slow.append(caller)
            if number % 250 == 249:
                began = time.monotonic()
                assert get(health, "/livez")[0] == 200
                assert time.monotonic() - began < 30
                assert len(health._listener._open) <= listening.MOST_OPEN  # type: ignore[union-attr]
        for caller in slow:  # those that are left go on, byte by byte
            with contextlib.suppress(OSError):
                caller.sendall(b"a")
        assert get(health, "/readyz")[0] == 200
    finally:
        for caller in slow:
            caller.close()


def test_a_slow_caller_has_little_time(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "READ_WITHIN", 0.3)
    caller = socket.create_connection(("127.0.0.1", health.port), 60)
    caller.sendall(b"GET /livez HTTP/1.1\r\n")
    began = time.monotonic()
    try:
        while time.monotonic() - began < 30:
            caller.sendall(b"X: y\r\n")
            time.sleep(0.02)
    except OSError:
        pass
    assert 0.2 < time.monotonic() - began < 20
    caller.close()


def test_a_slow_page_holds_up_no_quick_one(health: Health) -> None:
    go = threading.Event()
    health.add_route("/scale", lambda q: (200, "text/plain", str(go.wait(60)).encode()))
    callers = [
        threading.Thread(target=get, args=(health, "/scale")) for _ in range(listening.MOST_WAITING)
    ]
    for caller in callers:
        caller.start()
    try:
        wait_until(lambda: health._listener._waiting == listening.MOST_WAITING)  # type: ignore[union-attr]
        assert get(health, "/scale")[0] == 503
        assert get(health, "/livez")[0] == 200
    finally:
        go.set()
        for caller in callers:
            caller.join(60)


def test_nonsense_is_refused_and_harms_nobody(health: Health) -> None:
    for said in (
        b"\x16\x03\x01",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000,
        b"G" * 99_999,
    ):
        caller = socket.create_connection(("127.0.0.1", health.port), 60)
        with contextlib.suppress(OSError):
            caller.sendall(said + b"\r\n\r\n")
            assert caller.recv(100)[:10] in (b"", b"HTTP/1.1 4")
        caller.close()
    assert get(health, "/livez")[0] == 200
    assert get(health, "//[")[0] in (400, 404)


def test_pages_carry_no_secret(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINK_PASSWORD", "correct-horse")
    health.add_condition("link", lambda: "wss://me:sw0rdfish@host said correct-horse")
    health.use_watch(Blocked())  # type: ignore[arg-type]
    for path in ("/livez", "/readyz"):
        status, body = get(health, path)
        assert status == 503
        assert not any(secret in str(body) for secret in ("sw0rdfish", "correct", "horse"))
        assert "***" in str(body)


class Blocked:
    """A watch over a loop that is blocked by a handler whose lines hold secrets."""

    alive = False

    def silent_for(self) -> float:
        return 9.0

    def blockage(self) -> Blockage:
        return Blockage(9.0, "h", ('connect(password="sw0rdfish")  # correct-horse',))


def test_stopping_leaves_no_thread_and_frees_the_port() -> None:
    before = set(threading.enumerate())
    listener = Health("127.0.0.1", 0, metrics=MetricsPage(Counts()))
    listener.start()
    port = listener.port
    listener.stop()
    listener.stop()
    assert set(threading.enumerate()) <= before  # those of earlier tests may end meanwhile
    again = Health("127.0.0.1", port, metrics=MetricsPage(Counts()))
    again.start()
    again.stop()


class Clock:
    """Seconds that pass when the test says so, for the watch over a loop."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wait_until(true: Callable[[], bool]) -> None:
    """Wait with the thread, so that a loop on it is blocked meanwhile."""
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


class Observer(threading.Thread):
    """Asks ``/livez`` from outside of a loop that is blocked, before it is to be red and after."""

    def __init__(self, health: Health, watch: LoopWatch, clock: Clock) -> None:
        super().__init__(daemon=True)
        self.health, self.watch, self.clock = health, watch, clock
        self.blocked, self.release = threading.Event(), threading.Event()
        self.before: tuple[int, Any] = (0, {})
        self.after: tuple[int, Any] = (0, {})
        self.ready: tuple[int, Any] = (0, {})

    def run(self) -> None:
        try:
            self.blocked.wait(60)
            wait_until(lambda: self.watch._asked is not None)
            self.clock.now += RED_AFTER
            self.before = get(self.health, "/livez")
            self.clock.now += 0.1
            self.after = get(self.health, "/livez")
            self.ready = get(self.health, "/readyz")
        finally:
            self.release.set()


def test_the_port_is_free_again_although_a_hung_copy_has_the_socket() -> None:
    first = Health("127.0.0.1", 0, metrics=MetricsPage(Counts()))
    first.start()
    port, library = first.port, ctypes.PyDLL(None)
    child = library.fork()  # no hook of Python's runs in it
    while child == 0:
        library.pause()
    try:
        first.stop()
        second = Health("127.0.0.1", port, metrics=MetricsPage(Counts()))
        second.start()
        assert get(second, "/livez")[0] == 200
        second.stop()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


async def test_livez_is_red_within_six_seconds_and_names_who_blocks(health: Health) -> None:
    assert RED_AFTER + ASK_EVERY < 6
    clock = Clock()
    watch = LoopWatch(
        asyncio.get_running_loop(),
        threading.get_ident(),
        lambda: "book (item 5f0c)",
        clock=clock,
    )
    health.use_watch(watch)
    watch.start()
    innocent = asyncio.create_task(blockers.behaves(600))
    observer = Observer(health, watch, clock)
    observer.start()
    await asyncio.create_task(blockers.blocks(observer.blocked, observer.release))
    await asyncio.to_thread(observer.join, 60)
    assert observer.before == (200, {"status": "alive"})
    status, red = observer.after
    assert (status, red["status"], red["seconds"]) == (503, "blocked", RED_AFTER + 0.1)
    assert red["blocked_by"].startswith("blockers.blocks, line ")
    assert red["blocked_by"].endswith("on the loop: book (item 5f0c)")
    assert "release.wait(100)" in "".join(red["stack"])
    assert "_deeper(release)" in "".join(red["stack"])
    assert list(observer.ready[1]["reasons"]) == ["loop"]
    async with asyncio.timeout(60):
        while not watch.alive:
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(get, health, "/livez") == (200, {"status": "alive"})
    innocent.cancel()
    watch.stop()


async def test_the_listener_reports_on_a_watch_with_the_usual_times(health: Health) -> None:
    watch = LoopWatch(asyncio.get_running_loop(), threading.get_ident(), lambda: "")
    health.use_watch(watch)
    watch.start()
    assert await asyncio.to_thread(get, health, "/livez") == (200, {"status": "alive"})
    assert (watch._ask_every, watch._red_after, watch._thread.is_alive()) == (0.5, 5.0, True)
    watch.stop()


async def test_a_blockage_is_told_once_and_a_busy_loop_is_none() -> None:
    told: list[Blockage] = []
    clock = Clock()
    watch = LoopWatch(
        asyncio.get_running_loop(),
        threading.get_ident(),
        lambda: "",
        on_blocked=told.append,
        ask_every=0.01,
        clock=clock,
    )
    watch.start()
    for _ in range(40):  # each turn of the loop takes a while, and answers what was asked
        await asyncio.sleep(0.01)
        time.sleep(0.01)
        clock.now += RED_AFTER / 20
    assert told == []
    for times in (1, 2):
        wait_until(lambda: watch._asked is not None)
        clock.now += RED_AFTER + 0.1
        wait_until(lambda: len(told) >= times)  # noqa: B023 (called at once)
        clock.now += RED_AFTER
        time.sleep(0.1)
        assert len(told) == times
        async with asyncio.timeout(60):
            while not watch.alive:
                await asyncio.sleep(0.01)
        assert watch.blockage() is None
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

    release = threading.Event()
    told: list[Blockage] = []

    def tell(blockage: Blockage) -> None:
        told.append(blockage)
        release.set()

    clock = Clock()
    watch = LoopWatch(
        asyncio.get_running_loop(),
        threading.get_ident(),
        fails,
        on_blocked=tell,
        ask_every=0.01,
        clock=clock,
    )
    blocked = threading.Event()

    def let_time_pass() -> None:
        blocked.wait(60)
        wait_until(lambda: watch._asked is not None)
        clock.now += RED_AFTER + 0.1

    passing = threading.Thread(target=let_time_pass, daemon=True)
    passing.start()
    watch.start()
    await asyncio.create_task(blockers.blocks(blocked, release))
    watch.stop()
    passing.join(60)
    (found,) = told
    assert found.culprit.startswith("blockers.blocks, line ")
    assert "unknown (RuntimeError)" in found.culprit


def test_a_closed_loop_ends_the_watch() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    watch = LoopWatch(loop, threading.get_ident(), lambda: "", ask_every=0.01)
    watch.start()
    watch._thread.join(60)
    assert not watch._thread.is_alive()
