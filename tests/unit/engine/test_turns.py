"""Whose turn it is to pop: decided by all alike, from what each knows."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.turns import (
    ABREAST,
    FEWEST,
    LONGEST_PAUSE,
    LONGEST_STEP,
    MOST,
    STEP,
    Pace,
    due_in,
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


def paced(pops: int, *, pop: float, write: float, wanting: int = 16) -> Pace:
    """A worker that has popped and written a while."""
    pace = Pace()
    go_on(pace, pops, pop=pop, write=write, wanting=wanting)
    return pace


def go_on(pace: Pace, pops: int, *, pop: float, write: float, wanting: int = 16) -> None:
    for _ in range(pops):
        pace.wrote(write)
        pace.found(pop, wanting)


@pytest.mark.parametrize(
    ("wanting", "pause"), [(1, 0.0), (2, 0.0), (4, 0.1), (8, 0.3), (16, 0.7), (1000, LONGEST_PAUSE)]
)
def test_two_pops_are_in_flight_to_begin_with_whatever_the_fleet(
    wanting: int, pause: float
) -> None:
    pace = Pace()
    for _ in range(50):
        found = pace.found(0.1, wanting)  # nothing was written yet
    assert found == pytest.approx(pause)


def test_one_slow_pop_is_no_slow_server() -> None:
    pace = paced(50, pop=0.01, write=0.01)
    assert pace.found(1.0, 16) < 0.5 * (16 / FEWEST - 1.0)


def test_pops_that_do_not_disturb_each_other_become_more() -> None:
    assert paced(100, pop=0.01, write=0.01).abreast == MOST


def test_pops_that_disturb_each_other_become_fewer() -> None:
    pace = paced(5, pop=0.01, write=0.005)
    go_on(pace, 60, pop=0.05, write=0.005)
    assert pace.abreast == FEWEST


def test_a_server_that_slows_pops_and_writes_alike_is_no_reason_for_fewer() -> None:
    pace = paced(5, pop=0.01, write=0.005)
    before = pace.abreast
    go_on(pace, 50, pop=0.2, write=0.1)
    assert pace.abreast > before


amounts = st.floats(0.0, 100.0)


@given(st.lists(st.tuples(amounts, amounts)), st.integers(1, 1000))
def test_whatever_it_meets_no_pause_is_too_long_and_a_lone_worker_never_pauses(
    seen: list[tuple[float, float]], wanting: int
) -> None:
    pace, alone = Pace(), Pace()
    for pop, write in seen:
        pace.wrote(write)
        alone.wrote(write)
        assert 0.0 <= pace.found(pop, wanting) <= LONGEST_PAUSE
        assert FEWEST <= pace.abreast <= MOST
        assert alone.found(pop, 1) == 0.0


@given(st.lists(st.tuples(amounts, amounts)))
def test_whatever_it_met_it_is_back_at_more_pops_once_all_is_calm(
    seen: list[tuple[float, float]],
) -> None:
    pace = Pace()
    for pop, write in seen:
        pace.wrote(write)
        pace.found(pop, 16)
    go_on(pace, 1500, pop=0.01, write=0.005)
    assert pace.abreast > ABREAST


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
