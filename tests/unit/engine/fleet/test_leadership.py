"""Who leads a queue: the live worker with the lowest id, in its namespace."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from worker.engine.fleet.leadership import idle_after, leads_at_earliest, led_queues, rank_of
from worker.engine.fleet.presence import Peer
from worker.engine.fleet.sightings import Sightings


def peer(id: str, *, silent: float = 1, queues: tuple[str, ...] = ("q",)) -> Peer:
    return Peer(id, "host", 1, "1", queues, silent, frozenset())


def test_the_live_worker_with_the_lowest_id_leads() -> None:
    peers = [peer("a"), peer("b")]
    assert led_queues(["q"], peers, "a", 45) == ["q"]
    assert led_queues(["q"], peers, "b", 45) == []


def test_the_next_one_leads_when_it_dies_or_has_another_queue() -> None:
    assert led_queues(["q"], [peer("a", silent=46), peer("b")], "b", 45) == ["q"]
    assert led_queues(["q"], [peer("a", queues=("other",)), peer("b")], "b", 45) == ["q"]


def test_each_namespace_has_a_leader_of_its_own() -> None:
    peers = [peer("a"), replace(peer("b"), namespace="test"), replace(peer("c"), namespace="test")]
    assert led_queues(["q"], peers, "a", 45) == ["q"]
    assert led_queues(["q"], peers, "b", 45, "test") == ["q"]
    assert led_queues(["q"], peers, "c", 45, "test") == []


def test_the_dead_do_not_count_in_the_order_of_the_living() -> None:
    peers = [peer("a"), peer("b", silent=46), peer("c"), peer("d", queues=("other",))]
    assert [rank_of(me, "q", peers, 45) for me in "abcd"] == [0, 1, 1, 2]


BEGIN = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


class Fleet:
    """What a worker sees of one other, look by look."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sightings = Sightings(lambda: self.now)

    def look(self, peer: Peer, *, after: float) -> Peer:
        self.now += after
        (found,) = self.sightings.note([peer])
        return found


def seen(*, stamp: float = 0, rounds: int | None = 1, silent: float = 0) -> Peer:
    at = BEGIN + timedelta(seconds=stamp)
    return Peer(
        "a", "host", 1, "1", ("q",), silent, frozenset(), namespace="", stamp=at, rounds=rounds
    )


def test_a_document_that_does_no_work_does_not_hold_the_lead() -> None:
    limit = idle_after(30, 45)
    fleet = Fleet()
    fleet.look(seen(), after=0)
    for beat in range(1, 5):
        found = fleet.look(seen(stamp=30 * beat), after=30)  # kept fresh
        assert rank_of("b", "q", [found], 45, idle_after=limit) == 1
    found = fleet.look(seen(stamp=150), after=30)
    assert found.silent == 0
    assert rank_of("b", "q", [found], 45, idle_after=limit) == 0
    assert led_queues(["q"], [found], "b", 45, idle_after=limit) == ["q"]
    found = fleet.look(seen(stamp=180, rounds=2), after=30)  # it works again
    assert rank_of("b", "q", [found], 45, idle_after=limit) == 1


def test_a_version_that_tells_of_no_rounds_leads_for_a_while_and_then_not_alone() -> None:
    limit = idle_after(30, 45)
    fleet = Fleet()
    found = fleet.look(seen(rounds=None), after=0)
    assert rank_of("b", "q", [found], 45, idle_after=limit) == 1
    found = fleet.look(seen(stamp=140, rounds=None), after=140)
    assert rank_of("b", "q", [found], 45, idle_after=limit) == 0


def test_a_heartbeat_from_the_future_is_not_living_for_ever() -> None:
    fleet = Fleet()
    found = fleet.look(seen(stamp=86_400, silent=-86_400), after=0)
    assert found.silent == 0
    found = fleet.look(seen(stamp=86_400, silent=-86_370), after=30)
    assert found.silent == 30
    found = fleet.look(seen(stamp=86_400, silent=-86_340), after=30)
    assert rank_of("b", "q", [found], 45) == 0
    found = fleet.look(seen(stamp=86_430, silent=-86_340), after=1)  # it does live
    assert rank_of("b", "q", [found], 45) == 1


def test_who_is_gone_and_comes_back_is_looked_at_anew() -> None:
    fleet = Fleet()
    fleet.look(seen(), after=0)
    fleet.now += 1000
    assert fleet.sightings.note([]) == []
    assert fleet.look(seen(), after=10).idle == 0


def test_nobody_need_look_before_all_that_come_first_could_be_dead() -> None:
    peers = [peer("a", silent=5), peer("b", silent=20), peer("c")]
    assert leads_at_earliest(["q"], peers, "c", 45) == 40
    assert leads_at_earliest(["q"], peers, "b", 45) == 40
    assert leads_at_earliest(["q"], peers, "a", 45) == 0


def test_who_does_no_work_is_looked_at_again_when_it_would_be_passed_over() -> None:
    limit = idle_after(30, 45)
    idle = replace(peer("a", silent=0), idle=limit - 10)
    assert leads_at_earliest(["q"], [idle], "b", 45, idle_after=limit) == 10
    passed = replace(peer("a", silent=0), idle=limit + 10)
    assert leads_at_earliest(["q"], [passed], "b", 45, idle_after=limit) == 0


def test_of_several_queues_the_first_to_be_led_counts() -> None:
    peers = [peer("a", silent=5), peer("b", silent=30, queues=("q", "r"))]
    assert leads_at_earliest(["q", "r"], peers, "c", 45) == 15
    assert leads_at_earliest(["q", "own"], peers, "c", 45) == 0
    elsewhere = [replace(peer("a"), namespace="test")]
    assert leads_at_earliest(["q"], elsewhere, "c", 45) == 0
