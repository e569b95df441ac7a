"""Who looks after a queue, and which items in processing are orphans."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker.engine.delivery.delivery import Delivered
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.fleet.presence import Peer, WorkerInfo, peer_of
from worker.engine.fleet.rescuer import Rescuer, RescueTimes, orphan_of
from worker.engine.fleet.takeover import Orphan, TakeOver
from worker.openiap.pool import Pool
from worker.openiap.values import iso
from worker.telemetry.counts import Counts
from worker.telemetry.log import Log

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TIMES = RescueTimes(interval=30, dead_after=45, unclaimed_after=900)


def peer(id: str, *, silent: float = 1, claims=(), queues=("q",)) -> Peer:
    return Peer(id, "host", 1, "1", tuple(queues), silent, frozenset(claims))


def item(age: float = 10, retries: int = 0) -> dict:
    return {
        "_id": "i",
        "wiq": "q",
        "state": "processing",
        "retries": retries,
        "lastrun": iso(NOW - timedelta(seconds=age)),
        "username": "bob",
    }


def judge(document: dict, peers: list[Peer], *, own=frozenset(), times: RescueTimes = TIMES):
    return orphan_of(document, peers, own, times, NOW)


def test_a_worker_s_document_tells_its_namespace() -> None:
    document = {"_id": "a", "_modified": iso(NOW), "namespace": "test"}
    found = [peer_of(document, NOW), peer_of({**document, "namespace": None}, NOW)]
    assert [one and one.namespace for one in found] == ["test", ""]


def test_a_claim_counts_whatever_the_namespace_of_who_holds_it() -> None:
    held = replace(peer("a", claims=[("i", 0)]), namespace="test")
    assert judge(item(age=10_000), [held, peer("b")]) is None


def test_what_a_live_worker_claims_is_left() -> None:
    assert judge(item(age=10_000), [peer("a", claims=[("i", 0)])]) is None


def test_what_a_dead_worker_claims_is_taken() -> None:
    orphan = judge(item(), [peer("a", silent=46, claims=[("i", 0)])])
    assert orphan is not None
    assert (orphan.holder, orphan.died) == ("a", True)
    assert "last heard of 46 s ago" in orphan.how


@pytest.mark.parametrize("alone", [True, False])
def test_a_dead_worker_s_document_tells_whether_its_item_was_alone(alone: bool) -> None:
    claim = {"id": "i", "retries": 0, **({"alone": True} if alone else {})}
    stamp = iso(NOW - timedelta(seconds=60))
    dead = peer_of({"_id": "a", "_modified": stamp, "queues": ["q"], "items": [claim]}, NOW)
    assert dead is not None
    orphan = judge(item(), [dead])
    assert orphan is not None
    assert orphan.alone is alone


def test_a_claim_to_an_earlier_attempt_is_no_claim() -> None:
    assert judge(item(retries=1), [peer("a", silent=46, claims=[("i", 0)])]) is None


def test_a_dead_workers_claim_to_an_item_that_was_handed_back_and_popped_again_is_no_claim() -> (
    None
):
    document = {
        "_id": "a",
        "_modified": iso(NOW - timedelta(seconds=60)),
        "queues": ["q"],
        "items": [{"id": "i", "retries": 0, "lastrun": iso(NOW - timedelta(seconds=70))}],
    }
    dead = peer_of(document, NOW)
    assert dead is not None
    assert judge(item(age=70), [dead]) is not None
    assert judge(item(age=10), [dead]) is None


@pytest.mark.parametrize("lastrun", ["yesterday", None, 5, "0001-01-01T00:00:00+14:00"])
def test_an_item_without_a_usable_lastrun_is_as_old_as_it_was_seen(lastrun: object) -> None:
    document = {**item(), "lastrun": lastrun}
    assert judge(document, []) is None
    assert orphan_of(document, [], frozenset(), TIMES, NOW, seen=899) is None
    assert orphan_of(document, [], frozenset(), TIMES, NOW, seen=901) is not None


def test_an_item_popped_in_the_future_is_taken_once_it_was_seen_for_long() -> None:
    ahead = item(age=-10_000)  # the server's clock was set back since
    assert judge(ahead, []) is None
    assert orphan_of(ahead, [], frozenset(), TIMES, NOW, seen=901) is not None


async def test_an_item_that_cannot_be_taken_over_holds_up_none_of_the_others() -> None:
    house = House(leaps=False)
    house.documents = [{**item(), "_id": id} for id in ("i", "j", "k")]
    house.claims = [("i", 0), ("j", 0), ("k", 0)]
    tried = []

    async def take(orphan: Orphan, *, patient: bool) -> Delivered:
        tried.append(orphan.workitem.id)
        if orphan.workitem.id == "i":
            raise TypeError("odd")
        return Delivered("applied")

    assert await looking(house, take).rescue() == 2
    assert tried == ["i", "j", "k"]


async def test_each_look_tells_that_this_worker_works() -> None:
    house = House(leaps=False)

    async def take(orphan: Orphan, *, patient: bool) -> Delivered:
        return Delivered("applied")

    rescuer = looking(house, take)
    await rescuer.rescue()
    before = house.rounds
    await rescuer.rescue()
    assert house.rounds > before
    house.steady_for, before = 0.0, house.rounds
    await rescuer.rescue()
    assert house.rounds == before  # it may not judge, and so does nothing


def test_what_nobody_claims_is_taken_when_it_is_old() -> None:
    assert judge(item(age=899), []) is None
    orphan = judge(item(age=901), [])
    assert orphan is not None
    assert not orphan.died
    assert "popped by bob 901 s ago" in orphan.how
    assert judge(item(age=10**6), [], times=RescueTimes(30, 45, 0)) is None


def test_what_this_process_works_is_left_whatever_its_document_says() -> None:
    assert judge(item(age=10_000), [], own=frozenset({("i", 0)})) is None


def test_documents_of_other_versions_are_read_or_left() -> None:
    assert peer_of({"_id": "x", "_modified": "not a date"}, NOW) is None
    found = peer_of({"_id": "x", "_modified": iso(NOW), "items": "?", "future": 1}, NOW)
    assert found is not None
    assert found.claims == frozenset()


class House:
    """A heartbeat and a pool: ``b`` was silent for long, and its item is in processing."""

    usable = ready = True
    me = WorkerInfo("a", "1", {"q": 1})
    server_time: datetime | None = NOW

    def __init__(self, *, leaps: bool) -> None:
        self.leaps = leaps
        self.steady_for = 1000.0
        self.rounds = 0
        self.documents = [item()]
        self.claims = [("i", 0)]
        self.first: list[Peer] = []
        self.looks = 0

    def steady(self) -> float:
        return self.steady_for

    def server_now(self) -> datetime:
        return NOW

    def worked(self) -> None:
        self.rounds += 1

    async def peers(self) -> list[Peer]:
        self.looks += 1
        return [*self.first, peer("a"), peer("b", silent=1200, claims=self.claims)]

    async def wait_ready(self) -> None: ...

    async def call(self, operation: Callable[[Any], Awaitable[Any]]) -> Any:
        async def query(*_: object, **__: object) -> list[dict[str, Any]]:
            if self.leaps:
                self.steady_for = 0.0  # a heartbeat told of it while this look was on its way
            return self.documents

        async def delete(*_: object) -> int:
            return 0

        return await operation(SimpleNamespace(query=query, delete_many=delete))


def looking(house: House, take: Callable[..., Awaitable[Delivered]]) -> Rescuer:
    counts = Counts()
    counts.add_queue("q", "q")
    return Rescuer(
        ["q"],
        heartbeat=cast(Heartbeat, house),
        take_over=cast(TakeOver, SimpleNamespace(take=take)),
        own=tuple,
        pool=cast(Pool, house),
        times=TIMES,
        counts=counts,
        log=Log("error", write=lambda level, line: None),
        chance=random.Random(0),
    )


@pytest.mark.parametrize(("leaps", "taken"), [(False, 1), (True, 0)])
async def test_a_look_in_which_the_servers_clock_leaps_judges_nobody(
    leaps: bool, taken: int
) -> None:
    house = House(leaps=leaps)

    async def take(orphan: Orphan, *, patient: bool) -> Delivered:
        return Delivered("applied")

    assert await looking(house, take).rescue() == taken


async def test_who_comes_after_another_does_not_look_until_that_one_could_be_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("worker.engine.fleet.rescuer.uptime", lambda: now)

    async def take(orphan: Orphan, *, patient: bool) -> Delivered:
        return Delivered("applied")

    house = House(leaps=False)
    house.first = [peer("0", silent=5)]
    rescuer = looking(house, take)
    end = now + TIMES.dead_after - 5
    while now < end:
        now += await rescuer.round()
        assert house.looks == 1
    assert house.rounds > 1, "it tells of rounds without a look, or it would be passed over"
    limit = TIMES.dead_after + TIMES.interval
    house.first = [replace(peer("0", silent=0), idle=1_000.0)]  # lives, and does nothing
    while house.looks == 1:
        now += await rescuer.round()
    assert now < end + limit
    now += await rescuer.round()
    assert house.looks == 3, "it leads now"


async def test_a_clock_that_leaps_a_day_ahead_makes_no_item_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without heartbeats nobody tells the server's time, and an item is as old as it was seen."""
    now, taken = 1_000_000.0, []
    monkeypatch.setattr("worker.engine.fleet.rescuer.uptime", lambda: now)

    async def take(orphan: Orphan, *, patient: bool) -> Delivered:
        taken.append(orphan)
        return Delivered("applied")

    house = House(leaps=False)
    house.usable = False
    house.server_time = None
    rescuer = looking(house, take)
    await rescuer.rescue()
    now += 24 * 3600
    await rescuer.rescue()
    assert not taken, "a living worker may have it"
    for _ in range(int(TIMES.unclaimed_after / TIMES.interval)):
        now += TIMES.interval
        await rescuer.rescue()
    assert taken, "it was seen for as long as that"
