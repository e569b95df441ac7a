"""Gauges keep the kind of their first setter, and what that kind can hold."""

import pytest

from worker.openiap.native.gauges import Gauge, Gauges


def test_a_name_keeps_its_first_kind() -> None:
    gauges = Gauges()
    assert gauges.set("u64", "depth", 3, "items") == ""
    assert "u64" in gauges.set("f64", "depth", 1.5, "items")
    assert gauges.known["depth"].value == 3


@pytest.mark.parametrize(
    ("kind", "given", "held"),
    [("u64", -1, 0), ("u64", 2**65, 2**64 - 1), ("i64", -(2**70), -(2**63)), ("f64", 2, 2.0)],
)
def test_a_number_is_brought_to_what_its_kind_holds(kind: str, given: float, held: float) -> None:
    gauges = Gauges()
    gauges.set(kind, "x", given, "")  # type: ignore[arg-type]
    assert gauges.known["x"].value == held
    assert type(gauges.known["x"].value) is type(held)


def test_an_exporter_is_told_of_each_name_once() -> None:
    told: list[Gauge] = []
    gauges = Gauges(appeared=told.append)
    for value in range(3):
        gauges.set("i64", "x", value, "")
    assert [gauge.name for gauge in told] == ["x"]


def test_a_disabled_gauge_has_no_value_until_it_is_set_again() -> None:
    gauges = Gauges()
    gauges.set("i64", "x", 1, "")
    gauges.disable("x")
    gauges.disable("never set")
    assert gauges.known["x"].value is None
    gauges.set("i64", "x", 2, "")
    assert gauges.known["x"].value == 2
