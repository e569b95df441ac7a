"""What a rescuer makes of claims of the dead, and of an age that no clock vouches for."""

from datetime import UTC, datetime, timedelta

from worker.engine.delivery.fence import CLOSING, run_of
from worker.engine.fleet.presence import Peer
from worker.engine.fleet.rescuer import RescueTimes, orphan_of
from worker.openiap.values import iso

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TIMES = RescueTimes(interval=30, dead_after=45, unclaimed_after=900)


def peer(id: str, *, silent: float = 1, claims: tuple[tuple[str, int], ...] = ()) -> Peer:
    return Peer(id, "host", 1, "1", ("q",), silent, frozenset(claims))


def item(*, closer: str = "", age: float = 10) -> dict:
    document = {
        "_id": "i",
        "wiq": "q",
        "state": "processing",
        "retries": 0,
        "lastrun": iso(NOW - timedelta(seconds=age)),
    }
    if closer:
        document[CLOSING] = {"retries": 0, "run": run_of(document), "by": closer}
    return document


def judge(document: dict, peers: list[Peer], *, now: datetime | None = NOW, seen: float = 0.0):
    return orphan_of(document, peers, frozenset(), TIMES, now, seen)


def test_the_claim_of_a_worker_that_is_gone_does_not_keep_an_item() -> None:
    dead = peer("a", silent=46, claims=(("i", 0),))
    orphan = judge(item(closer="gone"), [dead, peer("me")])
    assert orphan is not None
    assert (orphan.holder, orphan.over) == ("a", ("gone",))
    unclaimed = judge(item(closer="gone", age=901), [peer("me")])
    assert unclaimed is not None
    assert unclaimed.over == ("gone",)


def test_a_living_closer_is_given_time_but_not_for_ever() -> None:
    dead = peer("a", silent=46, claims=(("i", 0),))
    assert judge(item(closer="b"), [dead, peer("b")], seen=44) is None
    orphan = judge(item(closer="b"), [dead, peer("b")], seen=45)
    assert orphan is not None
    assert orphan.over == ("b",)


def test_without_the_servers_time_an_item_is_as_old_as_it_was_seen() -> None:
    # A clock that is an hour ahead must not make orphans of what others have just popped.
    assert judge(item(age=3600), [], now=None, seen=899) is None
    assert judge(item(age=3600), [], now=None, seen=900) is not None
