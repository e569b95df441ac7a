"""Fleets at a queue whose pops disturb each other: what whole fleets make of their turns."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.unit.engine.contended_fleet import Fleet, Rules, Server
from worker.engine.turns import TURN

ITEMS = 300
PUSHED = 1.0
ALONE = 0.012
"""A lone worker's pop takes no longer."""


def burst(fleet: Fleet, items: int = ITEMS, *, until: float = 300.0) -> Fleet:
    """Have a fleet work a bulk of items."""
    fleet.at(PUSHED, lambda: fleet.push(items))
    fleet.run(items, until)
    return fleet


@pytest.mark.parametrize(
    ("workers", "work"), [(4, 0.1), (4, 0.15), (8, 0.15), (16, 0.15), (32, 0.15)]
)
def test_a_fleet_loses_few_rounds_whatever_its_size(workers: int, work: float) -> None:
    fleet = burst(Fleet(workers, Rules(work=work)))
    assert fleet.lost() < 0.1
    assert fleet.longest() < 10 * ALONE


def test_no_number_of_workers_is_much_slower_than_the_best() -> None:
    rates = {workers: burst(Fleet(workers)).rate(PUSHED) for workers in (8, 16, 32)}
    assert min(rates.values()) > 0.95 * max(rates.values()), rates


@pytest.mark.parametrize(("workers", "most"), [(8, 0.13), (16, 0.15)])
def test_where_one_pop_takes_ten_times_as_long_as_another_few_rounds_are_lost(
    workers: int, most: float
) -> None:
    """As where two queues of a server are popped at once."""
    fleets = [
        burst(Fleet(workers, Rules(call=(0.0005, 0.01)), seed=seed), 600) for seed in (1, 2, 3)
    ]
    assert sum(fleet.lost() for fleet in fleets) / 3 < most
    assert max(fleet.longest() for fleet in fleets) < 0.6


def of_several_queues(
    queues: int, workers: int, *, seed: int, stall: float = 0.0
) -> tuple[float, float, float]:
    """Have workers of several queues of one server work a bulk in each; returns items a second,
    lost rounds for each pop, and the longest pop.

    Args:
        stall: for how many seconds the server does nothing but tell of the bulks.
    """
    server = Server()
    fleets = [Fleet(workers, seed=10 * seed + number, server=server) for number in range(queues)]
    for fleet in fleets:
        fleet.at(PUSHED, partial(fleet.push, ITEMS))
    server.at(PUSHED + 0.001, lambda: server.stall(stall))
    server.run(lambda: any(fleet.done < ITEMS for fleet in fleets))
    pops = [pop for fleet in fleets for pop in fleet.pops]
    ended = max(pop.at + pop.took for pop in pops if pop.found)
    lost = sum(pop.lost for pop in pops) / len(pops)
    return queues * ITEMS / (ended - PUSHED), lost, max(pop.took for pop in pops)


def test_several_queues_of_one_server_do_not_jam_while_it_tells_a_fleet_of_their_bulks() -> None:
    rates = {}
    for queues, workers, most in ((2, 8, 0.1), (2, 16, 0.1), (3, 16, 0.15)):
        rate, lost, longest = of_several_queues(queues, workers, seed=1, stall=0.15)
        assert lost < most, (queues, workers)
        assert longest < 0.6, (queues, workers)
        rates[queues, workers] = rate
    assert rates[2, 16] > 0.9 * rates[2, 8]


def slow_from_the_start(fleet: Fleet) -> None:
    """Each has seen nothing but slow pops, as after a burst that began while all was busy."""
    for worker in fleet.workers.values():
        for number in range(15):
            worker.turns.found(f"{worker.name}-{number}", 0.5)


def stalls_in_the_burst(fleet: Fleet) -> None:
    """The server answers nothing for a second, while one worker after the other asks it."""
    fleet.at(PUSHED + 0.3, lambda: fleet.stall(1.0))


def stalls_again_and_again(fleet: Fleet) -> None:
    for number in range(5):
        fleet.at(PUSHED + 0.1 + 0.4 * number, lambda: fleet.stall(0.25))


def all_ask_at_once(fleet: Fleet) -> None:
    """None knows of the others yet, until some moments later."""
    known, fleet.known = fleet.known, {name: [] for name in fleet.known}
    fleet.at(PUSHED + 0.8, lambda: setattr(fleet, "known", known))


def half_of_them_judge_otherwise(fleet: Fleet) -> None:
    """Some workers have seen pops and items by which they do not take turns."""
    for worker in list(fleet.workers.values())[::2]:
        worker.turns.held(60.0)
        for number in range(15):
            worker.turns.wrote(0.4)
            worker.turns.found(f"{worker.name}-{number}", 0.5)


@pytest.mark.parametrize(
    "began",
    [
        slow_from_the_start,
        stalls_in_the_burst,
        stalls_again_and_again,
        all_ask_at_once,
        half_of_them_judge_otherwise,
    ],
)
@pytest.mark.parametrize("workers", [16, pytest.param(32, marks=pytest.mark.dear)])
def test_a_jam_of_pops_clears_within_seconds_whatever_began_it(
    began: Callable[[Fleet], None], workers: int
) -> None:
    fleet = Fleet(workers, seed=7)
    began(fleet)
    burst(fleet, 1200, until=PUSHED + 9.0)
    assert fleet.lost(PUSHED + 7.0) < 0.15
    assert fleet.longest(PUSHED + 7.0) < 0.2
    taken = [pop for pop in fleet.pops if pop.found and PUSHED + 7.0 <= pop.at < PUSHED + 8.5]
    assert len(taken) > 100, "three quarters of what the server gives"


def test_a_worker_that_has_met_others_once_keeps_its_next_turn() -> None:
    fleet = burst(Fleet(16), 100)
    turns = fleet.workers["w03"].turns
    turns.found("slow", 2 * TURN)
    assert turns.left() <= 16 * TURN + 1e-6


def test_the_death_of_workers_and_a_newcomer_jam_nothing() -> None:
    fleet = Fleet(16)
    fleet.at(PUSHED + 0.5, lambda: fleet.kill("w00"))
    fleet.at(PUSHED + 0.5, lambda: fleet.kill("w07"))
    fleet.at(PUSHED + 1.0, lambda: fleet.look(fleet.join()))
    for number, name in enumerate(list(fleet.workers)):  # as they come to look
        fleet.at(PUSHED + 2.0 + 0.1 * number, lambda name=name: fleet.look(name))  # type: ignore[misc]
    burst(fleet, 700)
    assert fleet.lost() < 0.5
    assert fleet.longest() < 20 * ALONE
    assert fleet.lost(PUSHED + 4.0) < 0.1
    assert fleet.rate(PUSHED) > 0.75 * burst(Fleet(16)).rate(PUSHED)


@pytest.mark.parametrize(("apart", "most"), [(0.0, 0.05), (0.004, 0.1), (0.02, 1.0), (5.0, 1.5)])
def test_the_time_that_all_share_may_differ_by_a_part_of_a_turn(apart: float, most: float) -> None:
    fleet = burst(Fleet(16, Rules(clocks=apart)))
    assert fleet.lost() < most
    assert fleet.longest() < 0.5


def test_workers_whom_no_watch_tells_of_items_taken_do_not_jam_either() -> None:
    fleet = Fleet(16, Rules(watch=False))
    stalls_in_the_burst(fleet)
    burst(fleet, 900)
    assert fleet.lost(PUSHED + 4.0) < 0.1
