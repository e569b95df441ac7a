"""The number of workers follows from what waits and what a worker was seen to do."""

from hypothesis import given
from hypothesis import strategies as st

from tests.cases import each
from worker.engine.maintenance.autoscale import Load, Sample, Throughput, wished


@each(
    ("load", "per_second", "expected"),
    [
        (Load(), 10.0, 0),
        (Load(waiting=1), 10.0, 1),
        (Load(waiting=600), 10.0, 1),
        (Load(waiting=601), 10.0, 2),
        (Load(waiting=6_000), 10.0, 10),
        (Load(waiting=6_000), None, 1),
        (Load(running=17), 10.0, 3),
        (Load(waiting=1, running=17), None, 3),
        (Load(waiting=600, oldest_waiting=120.0), 10.0, 2),
        (Load(waiting=600, oldest_waiting=86_400.0), 10.0, 4),
    ],
)
def test_workers_wanted_for_a_minute_of_waiting(
    load: Load, per_second: float | None, expected: int
) -> None:
    assert wished(load, per_second=per_second, slots=8, target=60.0) == expected


@given(st.integers(0, 10**6), st.integers(0, 10**4), st.floats(0.001, 1e4), st.floats(1.0, 1e4))
def test_more_waiting_never_wants_fewer_workers(
    waiting: int, running: int, per_second: float, target: float
) -> None:
    def want(load: Load) -> int:
        return wished(load, per_second=per_second, slots=4, target=target)

    assert want(Load(waiting, running)) <= want(Load(waiting + 1, running))
    assert want(Load(waiting, running)) <= want(Load(waiting, running, oldest_waiting=2 * target))
    assert (want(Load(waiting, running)) == 0) == (waiting == running == 0)


def test_throughput_is_measured_only_while_there_is_always_more_to_do() -> None:
    throughput = Throughput()
    for sample in (Sample(0, 0, 100), Sample(10, 200, 50), Sample(20, 250, 0), Sample(90, 251, 9)):
        throughput.saw(sample)
    assert throughput.per_second(slots=8, mean_seconds=1.0) == 20.0


def test_new_measurements_move_the_old_one() -> None:
    throughput = Throughput()
    for sample in (Sample(0, 0, 9), Sample(1, 20, 9), Sample(2, 30, 9), Sample(2.1, 99, 9)):
        throughput.saw(sample)
    assert throughput.per_second(slots=8, mean_seconds=1.0) == 15.0


def test_until_then_the_handlers_usual_time_tells() -> None:
    assert Throughput().per_second(slots=8, mean_seconds=0.5) == 16.0
    assert Throughput().per_second(slots=8, mean_seconds=0.0) is None
