"""The heartbeat keeps saying that this worker lives, and never holds up the loop."""

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.engine.fleet.heartbeat import LONG_RUNNING, Heartbeat
from worker.engine.fleet.presence import WorkerInfo
from worker.engine.in_flight import Running
from worker.openiap.errors import AccessDenied, NotConnected, OpenIAPError, ServerError
from worker.openiap.pool import Pool
from worker.openiap.values import iso
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log
from worker.uptime import uptime

BEGIN = datetime(2026, 5, 4, tzinfo=UTC)
INTERVAL = 1000.0
"""So long that no heartbeat comes but those that a test asks for."""
DEAD_AFTER = 3 * INTERVAL


class Clock:
    """Seconds of uptime that pass when the test says so."""

    def __init__(self) -> None:
        self.now = uptime()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every heartbeat of this test, which a machine that halts does not move."""
    found = Clock()
    monkeypatch.setattr("worker.engine.fleet.heartbeat.uptime", found)
    monkeypatch.setattr("worker.engine.fleet.shared_clock.uptime", found)
    return found


class Store:
    """Takes heartbeats as a pool does, or refuses them."""

    def __init__(self) -> None:
        self.beats: list[dict[str, Any]] = []
        self.error: OpenIAPError | None = None
        self.stamp: object = iso(datetime.now(UTC))
        self.documents: list[dict[str, Any]] = []
        self.ready = True
        self.beaten = asyncio.Event()

    async def wait_ready(self) -> None:
        while not self.ready:
            await asyncio.sleep(0.01)

    async def call(self, operation: Callable[[Any], Awaitable[Any]], *, turn: str = "then") -> Any:
        async def write(_: str, document: dict[str, Any]) -> dict[str, Any]:
            if self.error is not None:
                raise self.error
            self.beats.append(document)
            self.beaten.set()
            return {**document, "_modified": self.stamped()}

        async def delete(*_: object) -> None:
            return None

        async def query(*_: object, **__: object) -> list[dict[str, Any]]:
            return self.documents

        async def change(*_: object) -> SimpleNamespace:
            return SimpleNamespace(matched=1)

        client = SimpleNamespace(
            update_one=write,
            delete_one=delete,
            query=query,
            update_document=change,
            capabilities=SimpleNamespace(conditional_updates=True),
        )
        return await operation(client)

    def stamped(self) -> object:
        return self.stamp

    async def next_beat(self) -> None:
        self.beaten.clear()
        async with asyncio.timeout(60):
            await self.beaten.wait()


class Ticking(Store):
    """Stamps the time that goes on with a clock, so far ahead as it is set."""

    ahead = 0.0

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def stamped(self) -> object:
        return iso(BEGIN + timedelta(seconds=self._clock.now + self.ahead))


def heartbeat(store: Store, *, interval: float = 0.05, dead_after: float = 1.0) -> Heartbeat:
    """One with one item that has run for long."""
    workitem = Workitem(id="slow", wiq="q")
    long = Running(workitem, uptime() - 2 * LONG_RUNNING, datetime.now(UTC), 1)
    return Heartbeat(
        WorkerInfo("a", "1", {"q": 1}),
        pool=cast(Pool, store),
        interval=interval,
        dead_after=dead_after,
        in_flight=lambda: [long],
        log=Log("error", write=lambda level, line: None),
    )


@pytest.mark.parametrize(
    "error",
    [NotConnected("no link"), ServerError("not primary"), AccessDenied("no rights")],
    ids=lambda error: type(error).__name__,
)
async def test_the_loop_stays_free_while_heartbeats_are_refused(error: OpenIAPError) -> None:
    store = Store()
    store.error = error
    kept = heartbeat(store)
    await kept.start()
    for _ in range(20):  # with a loop that is held up this never ends
        await asyncio.sleep(0.01)
    await kept.stop()


async def test_the_loop_stays_free_while_there_is_no_link() -> None:
    store = Store()
    store.error = NotConnected("no link")
    kept = heartbeat(store)
    await kept.start()
    store.ready, store.error = False, None
    for _ in range(20):
        await asyncio.sleep(0.01)
    store.ready = True
    await store.next_beat()
    await kept.stop()


async def test_heartbeats_go_on_after_an_error_that_passes() -> None:
    store = Store()
    store.error = ServerError("the primary is being chosen")
    kept = heartbeat(store)
    await kept.start()
    assert kept.usable
    store.error = None
    await store.next_beat()
    await kept.stop()


async def test_missing_rights_end_heartbeats() -> None:
    store = Store()
    store.error = AccessDenied("Access denied")
    kept = heartbeat(store)
    await kept.start()
    assert not kept.usable
    await kept.stop()


async def test_nobody_is_judged_before_heartbeats_went_through_for_a_while(clock: Clock) -> None:
    kept = heartbeat(Store(), interval=INTERVAL, dead_after=DEAD_AFTER)
    assert kept.steady() == 0.0
    await kept.start()
    for _ in range(4):
        clock.now += INTERVAL
        await kept.beat()
    assert kept.steady() == pytest.approx(4 * INTERVAL)
    clock.now += 4 * INTERVAL  # an outage
    assert kept.steady() == 0.0
    await kept.beat()
    assert kept.steady() == 0.0
    clock.now += INTERVAL
    await kept.beat()
    assert kept.steady() == pytest.approx(INTERVAL)
    await kept.stop()


async def test_a_link_that_was_away_begins_the_while_anew(clock: Clock) -> None:
    store = Store()
    kept = heartbeat(store)
    await kept.start()
    clock.now += 0.1
    await store.next_beat()
    before = kept.steady()
    assert before == pytest.approx(0.1)
    store.ready = False
    await asyncio.sleep(0.1)
    clock.now += 60
    store.ready = True
    await store.next_beat()
    assert kept.steady() < before
    await kept.stop()


@pytest.mark.parametrize(("ahead", "leapt"), [(0.1, False), (0.6, True), (40, True), (-0.6, False)])
async def test_nobody_is_judged_for_a_while_after_the_servers_clock_leapt(
    ahead: float, leapt: bool, clock: Clock
) -> None:
    store = Ticking(clock)
    kept = heartbeat(store, interval=INTERVAL, dead_after=DEAD_AFTER)
    await kept.start()
    clock.now += INTERVAL
    store.ahead = ahead * DEAD_AFTER
    await kept.beat()
    assert kept.steady() == (0.0 if leapt else pytest.approx(INTERVAL))
    await kept.stop()


@pytest.mark.parametrize("stamp", ["yesterday", "", None, 5])
async def test_heartbeats_go_on_whatever_the_server_stamps(stamp: object) -> None:
    store = Store()
    store.stamp = stamp
    kept = heartbeat(store)
    await kept.start()
    await store.next_beat()
    await store.next_beat()
    assert kept.server_time is None
    await kept.stop()


@pytest.mark.parametrize("items", [None, "x", 5, [1, None, "x"], {"a": 1}])
async def test_a_document_that_is_none_of_ours_claims_nothing(items: object) -> None:
    store = Store()
    store.documents = [{"_id": "a", "host": platform.node(), "items": items}]
    assert await heartbeat(store).previous_claims() == []


async def test_what_is_left_in_processing_stays_claimed_however_long_the_rest_of_a_stop_takes() -> (
    None
):
    store = Store()
    left = [Running(Workitem(id="left", wiq="q"), uptime(), datetime.now(UTC), 1)]
    kept = Heartbeat(
        WorkerInfo("a", "1", {"q": 1}),
        pool=cast(Pool, store),
        interval=0.01,
        dead_after=1.0,
        in_flight=lambda: left,
        log=Log("error", write=lambda level, line: None),
    )
    await kept.start()
    kept.keep()
    left.clear()
    kept.changed()
    await kept.beat()
    await asyncio.sleep(0.1)  # several intervals
    await kept.stop()
    assert [one["id"] for one in store.beats[-1]["items"]] == ["left"]


async def test_nobody_is_judged_after_an_outage_as_long_as_it_takes_to_count_as_dead(
    clock: Clock,
) -> None:
    """Rare heartbeats: others are silent for as long as this worker, and it has not spoken yet."""
    kept = heartbeat(Store(), interval=INTERVAL, dead_after=2 * INTERVAL)
    await kept.start()
    clock.now += 1.9 * INTERVAL
    assert kept.steady() == pytest.approx(1.9 * INTERVAL)
    clock.now += 0.2 * INTERVAL
    assert kept.steady() == 0.0
    await kept.beat()
    assert kept.steady() == 0.0
    await kept.stop()


async def test_however_much_there_is_to_tell_heartbeats_have_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store()
    kept = heartbeat(store, interval=0.05)
    monkeypatch.setattr(kept, "_until_claims_change", lambda: asyncio.sleep(0))  # changes each time
    await kept.start()
    began = time.monotonic()
    while len(store.beats) < 5:
        await store.next_beat()
    await kept.stop()
    assert time.monotonic() - began > 3 * 0.05


def fleet_of(*ids: str) -> list[dict[str, Any]]:
    """Documents of live workers, the last of which is full."""
    now = iso(datetime.now(UTC))
    return [
        {
            "_id": id,
            "queues": ["q"],
            "lastseen": {"free": {"q": int(id != ids[-1])}},
            "_modified": now,
        }
        for id in ids
    ]


@pytest.mark.parametrize(
    ("peers", "held", "intervals"),
    [(("a", "b"), False, 2), (("a", "b"), True, 1), (("b", "c"), False, 1), ((), False, 1)],
    ids=["idle", "holds an item", "leads", "knows nobody"],
)
async def test_only_who_holds_nothing_and_leads_nothing_speaks_half_as_often(
    peers: tuple[str, ...], held: bool, intervals: int
) -> None:
    store = Store()
    store.documents = fleet_of(*peers)
    long = Running(Workitem(id="slow", wiq="q"), time.monotonic(), datetime.now(UTC), 1)
    kept = Heartbeat(
        WorkerInfo("b", "1", {"q": 1}),
        pool=cast(Pool, store),
        interval=10,
        dead_after=45,
        in_flight=lambda: [long] if held else [],
        log=Log("error", write=lambda level, line: None),
    )
    if peers:
        await kept.peers()
    assert kept._pace() == 10 * intervals


async def test_the_time_that_all_share_is_told_best_by_the_quickest_answer(clock: Clock) -> None:
    store = Ticking(clock)
    kept = heartbeat(store, interval=INTERVAL, dead_after=DEAD_AFTER)
    await kept.start()
    for late in (0.4, 0.002, 0.3):
        clock.now += INTERVAL
        store.ahead = -late
        await kept.beat()
    server = (BEGIN + timedelta(seconds=clock.now)).timestamp()
    assert kept.shared_time() == pytest.approx(server, abs=0.01)
    clock.now += INTERVAL
    store.ahead = 90.0
    await kept.beat()
    assert kept.shared_time() == pytest.approx(server + INTERVAL + 90.0, abs=0.01), "it was set"
    await kept.stop()


async def test_those_with_a_free_slot_are_known_from_the_last_look() -> None:
    store = Store()
    kept = heartbeat(store)
    assert (kept.known.wanting("q"), kept.known.size("q")) == ((), 1)
    store.documents = fleet_of("a", "b", "c", "d")
    store.documents[1]["lastseen"] = {"free": "many"}  # of another version: it may want items
    await kept.peers()
    assert (kept.known.wanting("q"), kept.known.size("q")) == (("b", "c"), 4)
    assert kept.known.living("q") == ("b", "c", "d"), "and so are the others that live"
    assert (kept.known.wanting("other"), kept.known.size("other")) == ((), 1)


async def test_a_heartbeat_by_itself_changes_nothing_that_openiap_keeps_a_history_of() -> None:
    store = Store()
    kept = heartbeat(store)
    await kept.start()
    for _ in range(2):
        kept.worked()
        await kept.beat()
    await kept.stop()
    assert [beat["lastseen"]["rounds"] for beat in store.beats[:3]] == [0, 1, 2]
    first, second, third = ({**one, "lastseen": ""} for one in store.beats[:3])
    assert first != second != third, "OpenIAP drops what changes lastseen alone"
    assert {**second, "beat": 0} == {**third, "beat": 0}, "and keeps a history of all else"


@pytest.mark.parametrize("stamp", [None, "today"])
async def test_a_machines_clock_makes_nobody_seem_dead_where_the_server_tells_no_time(
    clock: Clock, stamp: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whose stamps are a day old by this machine's clock may have written just now."""
    monkeypatch.setattr("worker.engine.fleet.sightings.uptime", clock)
    store = Store()
    store.stamp = stamp
    store.documents = [
        {**document, "_modified": iso(datetime.now(UTC) - timedelta(days=1))}
        for document in fleet_of("b", "c")
    ]
    alive = heartbeat(store, interval=3600, dead_after=45.0)
    await alive.start()
    try:
        assert [peer.silent for peer in await alive.peers()] == [0.0, 0.0]
        clock.now += 50
        assert [peer.silent for peer in await alive.peers()] == [50.0, 50.0], "as they were seen"
    finally:
        await alive.stop()
