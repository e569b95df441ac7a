"""Who leads a queue: the live worker with the lowest id, in its namespace."""

from dataclasses import replace

from worker.engine.fleet.leadership import led_queues, rank_of
from worker.engine.fleet.presence import Peer


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
