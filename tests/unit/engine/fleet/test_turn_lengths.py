"""How long turns are: told by one, known to all before it counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.fleet.turn_lengths import (
    KEPT,
    LEAST,
    MOST,
    QUICK,
    SMALL_FLEET,
    TurnLength,
    TurnLengths,
    next_length,
    turn_length_of,
)

NOW = 1_780_000_000.0
NOTICE = 100.0
DEFAULT = 0.025


class Clock:
    """The time that all share."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Document:
    """What others read of a worker."""

    id: str
    pops: Mapping[str, float] = field(default_factory=dict)
    turns: Mapping[str, TurnLength] = field(default_factory=dict)


class Fleet:
    """Workers of queue q that read each other's documents when they are told to."""

    def __init__(self, names: Sequence[str], pop: float) -> None:
        self.clock = Clock()
        self.pop = pop
        self.seen: dict[str, list[Document]] = {name: [] for name in names}
        self.lengths = {
            name: TurnLengths(
                name, lambda _, name=name: self.seen[name], clock=self.clock, notice=NOTICE
            )
            for name in names
        }
        self.documents = {name: Document(name) for name in names}

    def write(self, name: str) -> None:
        lengths = self.lengths[name]
        lengths.tell("q", self.pop, default=DEFAULT, slots=4)
        told = {q: turn_length_of(found) for q, found in lengths.document().items()}
        self.documents[name] = Document(
            name, {"q": self.pop}, {q: found for q, found in told.items() if found is not None}
        )

    def read(self, name: str) -> None:
        self.seen[name] = [found for other, found in self.documents.items() if other != name]

    def round(self) -> None:
        for name in self.lengths:
            self.write(name)
            self.read(name)

    def die(self, name: str) -> None:
        del self.lengths[name], self.documents[name]

    def length(self) -> float | None:
        """What all count by, if they do."""
        [found] = self.now()
        return found

    def now(self) -> set[float | None]:
        return {lengths.of("q") for lengths in self.lengths.values()}


def test_all_workers_change_the_length_at_one_moment_whenever_they_read_of_it() -> None:
    fleet = Fleet("abcd", pop=0.02)
    for _ in range(2):
        fleet.round()
    fleet.read("b")  # c and d read of it only shortly before it counts
    fleet.clock.now += NOTICE - 1.0
    assert fleet.now() <= {None, DEFAULT}
    for name in "cd":
        fleet.read(name)
    fleet.clock.now += 1.5
    assert fleet.length() == pytest.approx(0.0675)


def test_a_server_that_becomes_quick_again_has_short_turns_again() -> None:
    fleet = Fleet("abc", pop=0.03)
    for _ in range(3):
        fleet.round()
    fleet.clock.now += NOTICE + KEPT
    assert fleet.length() == pytest.approx(0.1013, abs=1e-4)
    fleet.pop = 0.005
    for _ in range(3):
        fleet.round()
    fleet.clock.now += NOTICE + KEPT
    assert fleet.length() == pytest.approx(0.0169)


def test_a_newcomer_that_comes_first_and_a_death_of_the_first_change_nothing() -> None:
    fleet = Fleet("bcd", pop=0.02)
    for _ in range(3):
        fleet.round()
    fleet.clock.now += NOTICE + KEPT
    before = fleet.now()
    fleet.seen["a"] = []
    fleet.lengths["a"] = TurnLengths(
        "a", lambda _: fleet.seen["a"], clock=fleet.clock, notice=NOTICE
    )
    for _ in range(3):
        fleet.write("a")
        fleet.read("a")
        fleet.round()
        fleet.clock.now += KEPT
        assert fleet.now() == before
    fleet.die("a")
    fleet.die("b")
    for _ in range(3):
        fleet.round()
        fleet.clock.now += KEPT
        assert fleet.now() == before


def test_a_length_that_is_about_right_stays() -> None:
    told = TurnLength(0.1, NOW - 10.0)
    for pop in (0.016, 0.022, 0.03):
        found = next_length(
            told, [pop], default=DEFAULT, slots=4, workers=8, now=NOW, notice=NOTICE
        )
        assert found is told
    assert (
        next_length(None, [0.004], default=DEFAULT, slots=4, workers=8, now=NOW, notice=NOTICE)
        is None
    ), "what all know without a word need not be told"


def test_no_length_follows_another_before_that_one_counts() -> None:
    told = TurnLength(0.1, NOW + 50.0, DEFAULT)
    assert (
        next_length(told, [0.2], default=DEFAULT, slots=4, workers=8, now=NOW, notice=NOTICE)
        is told
    )
    told = TurnLength(0.1, NOW + 1e9, DEFAULT)  # nobody's clock
    found = next_length(told, [0.2], default=DEFAULT, slots=4, workers=8, now=NOW, notice=NOTICE)
    assert found == TurnLength(MOST, NOW + NOTICE, DEFAULT)


def test_who_has_one_slot_has_no_use_for_turns_of_four_pops() -> None:
    one, four = (
        next_length(None, [0.04], default=DEFAULT, slots=slots, workers=8, now=NOW, notice=NOTICE)
        for slots in (1, 4)
    )
    assert one is not None
    assert four is not None
    assert one.seconds < four.seconds / 2


def test_in_a_small_fleet_whose_turns_come_round_quickly_fewer_pops_fit_into_one() -> None:
    small, other = (
        next_length(None, [0.04], default=DEFAULT, slots=4, workers=workers, now=NOW, notice=NOTICE)
        for workers in (SMALL_FLEET - 1, SMALL_FLEET)
    )
    assert small is not None
    assert other is not None
    assert small.seconds < 0.8 * other.seconds


def test_a_worker_is_not_full_long_before_its_turn_is_over() -> None:
    """The rest would be nobody's: with four slots no more than four usual pops go into a turn."""
    told = next_length(None, [0.04], default=DEFAULT, slots=4, workers=16, now=NOW, notice=NOTICE)
    assert told is not None
    assert told.seconds < 4 * 0.04 * QUICK


def test_one_worker_far_away_does_not_set_the_length_for_all() -> None:
    pops = [0.006, 0.006, 0.3]
    assert (
        next_length(None, pops, default=DEFAULT, slots=4, workers=8, now=NOW, notice=NOTICE) is None
    )


values = st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.floats(), max_size=2)


@given(st.dictionaries(st.sampled_from(["seconds", "since", "before"]), values) | values)
def test_whatever_stands_in_a_document_a_turn_is_neither_too_long_nor_too_short(
    value: object,
) -> None:
    found = turn_length_of(value)
    if found is None:
        return
    for now in (0.0, NOW, 1e12):
        length = found.at(now)
        assert length is None or LEAST <= length <= MOST


@given(st.lists(st.floats(0.0, 1e6), max_size=20), st.integers(0, 1000))
def test_whatever_pops_take_a_turn_is_neither_too_long_nor_too_short(
    pops: list[float], slots: int
) -> None:
    found = next_length(None, pops, default=DEFAULT, slots=slots, workers=8, now=NOW, notice=NOTICE)
    assert found is None or LEAST <= found.seconds <= MOST
