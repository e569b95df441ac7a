"""Whose turn it is to pop: decided by all alike, from what each knows."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.turns import (
    LONGEST_STEP,
    MOST_SKIPPED,
    STEP,
    TURN,
    Turns,
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


class Clock:
    """The time that all share."""

    def __init__(self) -> None:
        self.now = 1_780_000_000.0

    def __call__(self) -> float:
        return self.now


def fleet_of(workers: int, clock: Clock, *, slots: int = 4) -> list[Turns]:
    """Workers that know each other, each with a quick pop behind it."""
    names = [f"w{number}" for number in range(workers)]
    found = []
    for me in names:
        others = [other for other in names if other != me]
        turns = Turns(me, slots, clock=clock, others=lambda o=others: o, wanting=lambda o=others: o)  # type: ignore[misc]
        turns.found_none(0.003)
        turns.found(f"first of {me}", 0.005)
        found.append(turns)
    return found


moments = st.floats(0.0, 1000.0)


@given(st.integers(2, 40), moments)
def test_no_two_workers_have_their_turn_at_once_and_each_has_one_in_every_round(
    workers: int, since: float
) -> None:
    clock = Clock()
    fleet = fleet_of(workers, clock)
    clock.now += since
    waits = [turns.left() for turns in fleet]
    assert sum(wait == 0.0 for wait in waits) <= 1
    assert max(waits) <= workers * TURN + 1e-6
    # The turn of one that is dead passes: the next one's comes right after it.
    assert min(wait for wait in waits if wait) <= TURN + 1e-6


@given(st.integers(2, 40), moments)
def test_who_waits_as_long_as_told_has_its_turn(workers: int, since: float) -> None:
    clock = Clock()
    clock.now += since
    turns = fleet_of(workers, clock)[workers // 2]
    clock.now += turns.left() + 1e-5
    assert turns.left() == 0.0


def test_a_turn_that_is_nearly_over_is_not_used() -> None:
    clock = Clock()
    turns = fleet_of(3, clock)[1]
    clock.now += turns.left() + TURN - 0.0005
    assert turns.left() > TURN


def test_of_a_bulk_of_items_one_worker_pops_at_once_and_the_others_in_their_turn() -> None:
    clock = Clock()
    fleet = fleet_of(10, clock)
    clock.now += 60.0
    waits = [turns.new("the first", 0.0) for turns in fleet]
    assert sorted(waits) == pytest.approx([number * STEP for number in range(10)])
    later = [turns.new("another", 0.0) for turns in fleet]
    assert max(later) <= 10 * TURN + 1e-6
    assert sum(turns.left() == 0.0 for turns in fleet) <= 2, "the first's, and whose turn it is"
    assert fleet[waits.index(0.0)].left() == 0.0


def test_an_item_that_another_has_taken_is_no_reason_to_pop_out_of_turn() -> None:
    clock = Clock()
    fleet = fleet_of(10, clock)
    clock.now += 60.0
    waits = [turns.new("item", 0.0) for turns in fleet]
    first = fleet[waits.index(0.0)]
    first.taken("item")
    clock.now += first._until(clock.now) + TURN
    assert first.left() > 0.0


def test_an_item_that_comes_alone_is_popped_at_once_however_soon_after_another() -> None:
    clock = Clock()
    fleet = fleet_of(10, clock)
    for number in range(20):
        clock.now += 0.02
        waits = [turns.new(str(number), 0.0) for turns in fleet]
        assert waits.count(0.0) == 1
        for turns in fleet:
            turns.taken(str(number))


def test_an_item_for_later_is_looked_for_by_lots_when_it_is_due() -> None:
    waits = [turns.new("item", 15.0) for turns in fleet_of(3, Clock())]
    assert sorted(waits) == pytest.approx([15.0, 15.0 + STEP, 15.0 + 2 * STEP])


def test_nobody_waits_where_the_server_gives_more_than_all_can_take() -> None:
    clock = Clock()
    long, short = fleet_of(4, clock), fleet_of(4, clock)
    for turns in long:
        turns.held(1.0)
    for turns in short:
        turns.held(0.05)
    assert [turns.left() for turns in long] == [0.0] * 4
    assert sum(turns.left() == 0.0 for turns in short) <= 1


def test_who_is_disturbed_again_and_again_rests_a_little_until_it_is_calm() -> None:
    clock = Clock()
    turns = fleet_of(4, clock)[0]
    turns.held(1.0)
    turns.found("a", 0.02)
    assert turns.left() == 0.0, "once is nothing"
    rests = []
    for number in range(20):
        turns.found(str(number), 10.0)
        rests.append(turns.left())
    assert 0.0 == min(rests) < max(rests) <= LONGEST_STEP
    for number in range(10):
        turns.found(str(number), 0.005)
    assert turns.left() == 0.0


def round_of(turns: Turns, clock: Clock) -> float:
    """How long it takes from one turn to the next that is used."""
    clock.now += turns.left() + 1e-5
    clock.now += TURN
    return turns.left() + TURN


def test_pops_that_fill_more_than_a_turn_skip_turns_and_quick_ones_skip_none() -> None:
    clock = Clock()
    turns = fleet_of(4, clock)[2]
    assert round_of(turns, clock) == pytest.approx(4 * TURN, abs=1e-3)
    turns.found("slow", 2 * TURN)
    assert round_of(turns, clock) > 6 * TURN
    for number in range(10):
        turns.found(str(number), 0.005)
    assert round_of(turns, clock) == pytest.approx(4 * TURN, abs=1e-3)


def test_a_server_that_is_far_away_is_not_slow() -> None:
    clock = Clock()
    turns = Turns("b", 4, clock=clock, others=lambda: ["a", "c"])
    turns.found_none(0.2)
    for number in range(5):
        turns.found(str(number), 0.203)
    assert round_of(turns, clock) == pytest.approx(3 * TURN, abs=1e-3)


amounts = st.floats(0.0, 100.0)


@given(st.lists(st.tuples(amounts, amounts, amounts)), st.integers(1, 100), st.integers(1, 50))
def test_whatever_it_meets_each_worker_has_a_turn_soon_and_a_lone_one_never_waits(
    seen: list[tuple[float, float, float]], workers: int, slots: int
) -> None:
    clock = Clock()
    names = [f"w{number}" for number in range(1, workers)]
    turns, alone = (
        Turns("w0", slots, clock=clock, others=lambda: names),
        Turns("w0", slots, clock=clock),
    )
    for pop, look, hold in seen:
        for one in (turns, alone):
            one.new("item", 0.0)
            one.found_none(look)
            one.found("item", pop)
            one.held(hold)
        clock.now += hold
        assert 0.0 <= turns.left() <= (MOST_SKIPPED + 1) * workers * TURN
        assert alone.left() == 0.0
        assert alone.new(str(pop), 0.0) == 0.0


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
