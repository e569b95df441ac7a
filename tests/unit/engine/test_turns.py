"""Whose turn it is to pop: decided by all alike, from what each knows."""

from collections import Counter

import pytest

from worker.engine.turns import (
    LONGEST_PAUSE,
    LONGEST_STEP,
    STEP,
    due_in,
    pause_after,
    rank_for,
    wait_for,
)

FLEET = [f"worker-{number}" for number in range(10)]


def ranks(item: str, fleet: list[str] = FLEET) -> dict[str, int]:
    """What each worker finds for itself."""
    return {me: rank_for(item, me, (one for one in fleet if one != me)) for me in fleet}


@pytest.mark.parametrize("item", ["a", "6b0ab3e57368bfcbf20d90ac", ""])
def test_all_workers_agree_on_one_order(item: str) -> None:
    assert sorted(ranks(item).values()) == list(range(10))


def test_each_worker_is_first_for_its_share_of_the_items() -> None:
    first = Counter(min(found, key=found.__getitem__) for found in map(ranks, map(str, range(500))))
    assert set(first) == set(FLEET)
    assert max(first.values()) < 100


def test_who_is_missing_moves_the_others_up_in_the_same_order() -> None:
    before = ranks("item")
    gone = min(before, key=before.__getitem__)
    after = ranks("item", [one for one in FLEET if one != gone])
    assert after == {one: rank - 1 for one, rank in before.items() if one != gone}


@pytest.mark.parametrize(
    ("wanting", "pause"), [(1, 0.0), (2, 0.0), (4, 0.0), (8, 0.1), (16, 0.3), (1000, LONGEST_PAUSE)]
)
def test_about_four_pops_are_in_flight_whatever_the_fleet(wanting: int, pause: float) -> None:
    assert pause_after(0.1, wanting) == pytest.approx(pause)


def test_the_first_goes_at_once_and_the_others_give_it_time() -> None:
    assert wait_for(0, 1.0) == 0.0
    assert wait_for(1, 0.001) == STEP
    assert wait_for(2, 0.1) == pytest.approx(0.8)
    assert wait_for(1, 30.0) == LONGEST_STEP


@pytest.mark.parametrize(
    ("nextrun", "ahead"),
    [
        ("2026-05-04T12:00:00.000Z", 0.0),
        ("2026-05-04T12:00:00.040Z", 0.0),
        ("2026-05-04T12:00:15.000Z", 15.0),
        ("1970-01-01T00:00:00.000Z", 0.0),
        (None, 0.0),
        ("soon", 0.0),
    ],
)
def test_an_item_is_looked_for_when_it_is_due_in_the_servers_time(
    nextrun: str | None, ahead: float
) -> None:
    document = {"nextrun": nextrun, "_modified": "2026-05-04T12:00:00.000Z"}
    assert due_in(document) == pytest.approx(ahead)
