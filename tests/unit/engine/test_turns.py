"""Whose turn it is to pop: decided by all alike, from what each knows."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.pace import ABREAST, FEWEST, LONGEST_PAUSE, MOST, Pace
from worker.engine.turns import (
    LONGEST_OUT,
    LONGEST_STEP,
    MOST_CHANCE,
    SHORT_TURN,
    STEP,
    TURN,
    TURN_OF_SLOT,
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


def turns_of(
    me: str,
    workers: Sequence[str],
    clock: Clock,
    *,
    slots: Callable[[], int] = lambda: 4,
    wanting: Sequence[str] | None = None,
) -> Turns:
    """One of some workers, all or some of whom want items."""
    others = [one for one in workers if one != me]
    want = [one for one in (workers if wanting is None else wanting) if one != me]
    return Turns(
        me,
        slots,
        clock=clock,
        others=lambda: others,
        wanting=lambda: want,
        chance=random.Random(me),
    )


def fleet_of(workers: int, clock: Clock, *, slots: int = 4) -> list[Turns]:
    """Workers that know each other, each with a quick pop behind it."""
    names = [f"w{number}" for number in range(workers)]
    found = []
    for me in names:
        turns = turns_of(me, names, clock, slots=lambda: slots)
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
    wait = turns.left()
    clock.now += wait and wait + 1e-5
    assert turns.left() == 0.0


def test_a_turn_that_is_nearly_over_is_not_used() -> None:
    clock = Clock()
    turns = fleet_of(3, clock)[1]
    clock.now += turns.left() + SHORT_TURN - 0.0005
    assert turns.left() > SHORT_TURN


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


def test_what_is_found_for_one_item_of_a_bulk_holds_for_those_that_come_with_it() -> None:
    clock, looks = Clock(), Counter[str]()

    def others() -> Sequence[str]:
        looks["fleet"] += 1
        return [one for one in FLEET if one != FLEET[7]]

    turns = Turns(
        FLEET[7], lambda: 4, clock=clock, others=others, wanting=others, chance=random.Random(1)
    )
    turns.new("first", 0.0)
    wait = turns.new("second", 0.0)
    asked = looks["fleet"]
    for number in range(300):  # as a push of many tells of them, in six milliseconds
        clock.now += 20e-6
        assert turns.new(str(number), 0.0) == pytest.approx(wait - (number + 1) * 20e-6, abs=1e-4)
    assert looks["fleet"] <= 4 * asked
    turns.taken("first")
    before = looks["fleet"]
    turns.new("another", 0.0)
    assert looks["fleet"] > before, "the queue has moved"


def test_an_item_that_another_has_taken_is_no_reason_to_pop_out_of_turn() -> None:
    clock = Clock()
    fleet = fleet_of(10, clock)
    clock.now += 60.0
    waits = [turns.new("item", 0.0) for turns in fleet]
    first = fleet[waits.index(0.0)]
    first.taken("item")
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
    clock.now += MOST_CHANCE * 0.005  # the pause after a pop
    assert [turns.left() for turns in long] == [0.0] * 4
    assert sum(turns.left() == 0.0 for turns in short) <= 1


def test_who_pops_longer_than_a_turn_stays_out_the_longer_the_more_often() -> None:
    clock = Clock()
    turns = fleet_of(32, clock)[3]
    waits = []
    for number in range(5):
        turns.found(str(number), 4 * TURN)
        waits.append(turns.left())
    # To within a round, which its turn may be away.
    assert waits == pytest.approx(
        [4 * TURN * times for times in (0.5, 1.5, 3.5, 7.5, 15.5)], abs=0.81
    )
    assert waits[4] > waits[2] > 0.0
    turns.found("quick", 0.005)
    assert turns.left() <= 32 * TURN + 1e-6, "one that fits ends it"


def test_workers_whose_pops_do_not_fit_into_a_turn_take_turns_all_the_same() -> None:
    clock = Clock()
    fleet = fleet_of(16, clock)
    for turns in fleet:
        for number in range(30):
            turns.wrote(0.005)
            turns.found(str(number), 4 * TURN)
    clock.now += LONGEST_OUT
    for _ in range(100):
        clock.now += TURN * 0.7
        assert sum(turns.left() == 0.0 for turns in fleet) <= 1


def test_where_the_way_is_far_and_pops_do_not_disturb_each_other_there_are_pauses() -> None:
    clock = Clock()
    fleet = fleet_of(16, clock)
    for turns in fleet:
        for number in range(30):
            turns.wrote(3.5 * TURN)
            turns.found(str(number), 4 * TURN)
    clock.now += MOST_CHANCE * LONGEST_PAUSE
    assert [turns.left() for turns in fleet] == [0.0] * 16


def test_a_slow_pop_right_after_a_push_of_many_costs_no_turn() -> None:
    """The server is busy with telling all of it then."""
    waits, later = [], []
    for moment in range(16):
        clock = Clock()
        fleet = fleet_of(16, clock)
        clock.now += 60.0 + moment * TURN
        first = next(turns for turns in fleet if turns.new("first", 0.0) == 0.0)
        assert first.left() == 0.0
        first.taken("first")  # told before the pop is answered
        first.found("first", 5 * TURN)
        waits.append(first.left())
        first.found("second", 5 * TURN)
        later.append(first.left())
    assert min(waits) < TURN, "its turn may be the next"
    assert min(later) >= 0.5 * 5 * TURN, "after one in its turn it stays out"


def test_a_few_slow_pops_are_no_reason_to_leave_the_turns_that_the_others_take() -> None:
    clock = Clock()
    fleet = fleet_of(16, clock)
    slow = fleet[5]
    for number in range(4):
        slow.found(f"slow {number}", 8 * TURN)
        slow.found(f"quick {number}", 0.005)
    clock.now += MOST_CHANCE * LONGEST_PAUSE
    for _ in range(100):
        clock.now += TURN * 0.7
        assert sum(turns.left() == 0.0 for turns in fleet) <= 1


def test_the_first_pop_of_a_burst_tells_nothing_of_the_server() -> None:
    clock = Clock()
    turns = turns_of("b", "abc", clock)
    turns.found_none(0.003)
    turns.found("the first", 4 * TURN)
    waits = []
    for _ in range(6):
        clock.now += 0.5 * TURN
        waits.append(turns.left())
    assert waits.count(0.0) in (1, 2, 3), "one turn of three, and no pause"
    assert max(waits) <= 3 * TURN


def test_turns_are_as_long_as_the_fleet_tells() -> None:
    clock, told = Clock(), 0.2
    turns = Turns(
        "b",
        lambda: 4,
        clock=clock,
        others=lambda: "ac",
        length=lambda: told,
        chance=random.Random(1),
    )
    turns.found_none(0.03)
    for number in range(5):
        turns.found(str(number), 0.06)
    wait = turns.left()
    clock.now += wait and wait + 1e-5
    assert turns.left() == 0.0
    clock.now += 0.2 - 0.06
    assert turns.left() == 0.0, "another pop fits"
    clock.now += 0.04
    assert turns.left() > 0.0, "less than half of it fits"


def popping_after(fleet: list[Turns], clock: Clock, hold: float) -> int:
    """Return how many of a fleet may pop, once 60 items of each were held for so many seconds."""
    for turns in fleet:
        for _ in range(60):
            turns.held(hold)
    clock.now += MOST_CHANCE * LONGEST_PAUSE
    return sum(turns.left() == 0.0 for turns in fleet)


def test_turns_that_pay_go_on_until_they_clearly_do_not() -> None:
    clock = Clock()
    fleet = fleet_of(8, clock)
    for hold, paying in ((0.4, True), (0.7, True), (1.0, False), (0.7, False), (0.4, True)):
        popping = popping_after(fleet, clock, hold)
        assert popping <= 1 if paying else popping == 8, hold


def test_workers_with_one_slot_wait_for_turns_only_where_they_take_what_the_server_gives() -> None:
    clock = Clock()
    for hold, paying in ((0.03, True), (0.1, False)):
        fleet = fleet_of(8, clock, slots=1)
        popping = popping_after(fleet, clock, hold)
        assert popping <= 1 if paying else popping == 8, hold


def test_a_clock_that_was_set_back_ends_a_pause() -> None:
    clock = Clock()
    turns = fleet_of(16, clock)[0]
    for number in range(30):
        turns.found(str(number), 1.0)
    assert turns.left() > 0.0
    clock.now -= 3600.0
    assert turns.left() == 0.0


def test_the_turn_of_one_that_is_full_or_dead_is_used_by_one_other_within_a_tenth_of_a_second() -> (
    None
):
    clock = Clock()
    fleet = fleet_of(16, clock)
    for turns in fleet:
        turns.taken("the last")
    # Nothing goes from here on: all but two are dead.
    left = sorted(turns.left() for turns in fleet[:2] if turns.left())
    assert left[0] <= 0.1
    waits = [turns._unused(clock.now) for turns in fleet]
    assert min(waits) > 2 * 0.005, "longer than a pop takes"
    gaps = [later - sooner for sooner, later in zip(sorted(waits), sorted(waits)[1:], strict=False)]
    assert min(gaps) > 0.004, "one after the other"


def test_the_first_pops_of_a_burst_tell_the_fleet_nothing_of_what_a_quick_one_takes() -> None:
    turns = fleet_of(16, Clock())[3]
    for number in range(4):  # they have met others
        turns.found(str(number), 10 * TURN)
    assert turns.quick is None
    for number in range(4, 12):
        turns.found(str(number), 0.005)
    assert turns.quick == 0.005


def test_who_is_told_of_no_item_taken_waits_for_its_turn() -> None:
    clock = Clock()
    fleet = fleet_of(16, clock)
    clock.now += 0.5
    assert sum(turns.left() == 0.0 for turns in fleet) <= 1
    for turns in fleet:
        turns.taken("the last")
    clock.now += 2.0
    assert sum(turns.left() == 0.0 for turns in fleet) <= 1, "the watch is silent, or broken"


def test_where_few_want_items_they_share_the_turns_among_them() -> None:
    clock = Clock()
    names = [f"w{number}" for number in range(16)]
    few = names[3:7]
    fleet = [turns_of(me, names, clock, wanting=few) for me in few]
    for turns in fleet:
        turns.found_none(0.003)
    for _ in range(100):
        clock.now += TURN * 0.7
        waits = [turns.left() for turns in fleet]
        assert waits.count(0.0) <= 1
        assert max(waits) <= 4 * TURN + 1e-6


def test_the_length_of_turns_follows_the_slots_that_a_worker_has_now() -> None:
    clock, slots = Clock(), [4]
    turns = turns_of("b", "abc", clock, slots=lambda: slots[0])
    turns.found_none(0.003)
    assert round_of(turns, clock) == pytest.approx(3 * SHORT_TURN, abs=1e-3)
    slots[0] = 1
    wait = turns.left()
    clock.now += wait and wait + 1e-5
    clock.now += TURN_OF_SLOT
    assert turns.left() + TURN_OF_SLOT == pytest.approx(3 * TURN_OF_SLOT, abs=1e-3)


def round_of(turns: Turns, clock: Clock) -> float:
    """How long it takes from one turn to the next that is used."""
    wait = turns.left()
    clock.now += wait and wait + 1e-5
    clock.now += SHORT_TURN
    return turns.left() + SHORT_TURN


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


@given(
    st.lists(st.tuples(amounts, amounts, amounts)),
    st.integers(1, 100),
    st.integers(1, 50),
    st.integers(0, 100),
)
def test_whatever_it_meets_each_worker_has_a_turn_soon_and_a_lone_one_never_waits(
    seen: list[tuple[float, float, float]], workers: int, slots: int, wanting: int
) -> None:
    clock = Clock()
    names = [f"w{number}" for number in range(workers)]
    turns = turns_of("w0", names, clock, slots=lambda: slots, wanting=names[:wanting])
    alone = turns_of("w0", ["w0"], clock, slots=lambda: slots)
    for pop, look, hold in seen:
        for one in (turns, alone):
            one.new("item", 0.0)
            one.found_none(look)
            one.found("item", pop)
            one.held(hold)
        clock.now += hold
        longest = max(MOST_CHANCE * LONGEST_PAUSE, LONGEST_OUT + workers * TURN)
        assert 0.0 <= turns.left() <= longest + 1e-6
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


def test_where_pops_do_not_disturb_each_other_nobody_waits_for_a_turn_and_nothing_is_learnt() -> (
    None
):
    asked: list[str] = []

    def clock() -> float:
        asked.append("the time")
        return 1000.0

    turns = Turns(
        "me",
        lambda: 4,
        clock=clock,
        others=lambda: ["another"],
        wanting=lambda: ["another"],
        chance=random.Random(1),
        compete=lambda: False,
    )
    for number in range(3):
        assert turns.left() == 0.0
        turns.found(f"item {number}", 5.0)
        turns.wrote(5.0)
        turns.held(5.0)
    assert turns.left() == 0.0
    assert not asked
