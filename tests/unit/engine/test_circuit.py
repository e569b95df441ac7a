"""A breaker's circuit, as a state machine that is walked at random."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from worker import Breaker
from worker.engine.breakers.circuit import (
    BREAKERS,
    PROBE_FOR,
    Circuit,
    Window,
    circuits_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BREAKER = Breaker("payments", on=(ConnectionError,), failures=3, within=60, pause=60, most=600)
STEPS = ("open", "probe", "unproved", "close", "force open", "force closed", "auto", "wait")


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1_000)), max_size=40))
def test_whatever_happens_a_circuit_is_popped_shut_or_probed_once(
    steps: list[tuple[str, int]],
) -> None:
    circuit, now = Circuit(), NOW
    for step, seconds in steps:
        before, stood = circuit, circuit.stands(now)
        if step == "wait":
            now += timedelta(seconds=seconds)
        elif step.startswith("force"):
            circuit = circuit.force(step.split()[1], now, why="by hand", by="ada")  # type: ignore[arg-type]
            assert circuit.stands(now + timedelta(days=99)) == (
                "shut" if step == "force open" else "popped"
            )
        elif step == "auto":
            circuit = circuit.force("", now, why="", by="ada")
            assert circuit.stands(now) == "popped"
        elif circuit.forced:
            continue
        elif step == "open":
            circuit = circuit.opened(BREAKER, now, why="away", by="w")
            assert circuit.stands(now) == "shut"
            assert BREAKER.pause <= circuit.pause <= BREAKER.most
            if before.state != "closed":
                assert circuit.pause == min(BREAKER.most, max(BREAKER.pause, 2 * before.pause))
        elif step == "probe" and stood == "probe":
            circuit = circuit.probed(BREAKER, now, by="w")
            assert circuit.stands(now) == "shut", "one item at a time"
            assert circuit.stands(now + timedelta(seconds=PROBE_FOR)) == "probe", "for a while"
        elif step == "unproved" and circuit.state == "probing":
            circuit = circuit.unproved(now, by="w")
            assert circuit.stands(now) == "probe"
        elif step == "close":
            circuit = circuit.closed(now, by="w")
            assert circuit.stands(now) == "popped"
        assert circuit is before or circuit.number == before.number + 1
        assert circuits_of({BREAKERS: {"payments": circuit.document()}}) == {"payments": circuit}
        assert "payments" in circuit.text("payments")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["open", "probing"]),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["state", "number", "until", "since", "pause", "by", "why", "forced"]
                ),
                inner,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_stands_in_a_document_is_read(found: object) -> None:
    for document in ({BREAKERS: found}, {BREAKERS: {"payments": found}}):
        for circuit in circuits_of(document).values():
            assert circuit.stands(NOW) in ("popped", "probe", "shut")
            assert circuit.opened(BREAKER, NOW, why="", by="").stands(NOW) in ("popped", "shut")


def test_a_pause_doubles_up_to_the_longest_and_an_error_may_name_its_own() -> None:
    circuit, pauses = Circuit(), []
    for _ in range(6):
        circuit = circuit.opened(BREAKER, NOW, why="away", by="w")
        pauses.append(circuit.pause)
    assert pauses == [60, 120, 240, 480, 600, 600]
    assert circuit.opened(BREAKER, NOW, why="", by="", after=5).pause == 5
    again = circuit.closed(NOW, by="w").opened(BREAKER, NOW, why="", by="w")
    assert again.pause == 60


def test_failures_count_within_their_time() -> None:
    window = Window(BREAKER)
    assert [window.failed(NOW + timedelta(seconds=s)) for s in (0, 50, 61, 109, 110)] == [
        False,
        False,
        False,
        True,
        True,
    ]
    window.clear()
    assert not window.failed(NOW)
