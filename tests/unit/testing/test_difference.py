"""Two JSON values are told apart place by place."""

from hypothesis import given
from hypothesis import strategies as st

from worker.testing.difference import differences, shown

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def test_places_are_named_as_people_write_them() -> None:
    before = {"number": "4711", "lines": [{"price": 1}, {"price": 2}], "old": True}
    after = {"number": "4711", "lines": [{"price": 1}, {"price": 3}, {"price": 4}], "new": None}
    assert [str(d) for d in differences(before, after)] == [
        "lines[1].price: 2, then 3",
        'lines[2]: nothing, then {"price": 4}',
        "old: true, then nothing",
        "new: nothing, then null",
    ]


def test_one_and_true_differ_and_one_and_one_point_zero_do_not() -> None:
    assert [str(d) for d in differences({"a": 1}, {"a": True})] == ["a: 1, then true"]
    assert differences({"a": 1}, {"a": 1.0}) == []


def test_a_value_that_is_no_container_has_a_place_too() -> None:
    assert [str(d) for d in differences("a", "b")] == ['(all): "a", then "b"']


def test_long_values_are_cut() -> None:
    assert shown("x" * 500).endswith("…")
    assert len(shown("x" * 500)) == 120


@given(JSON)
def test_nothing_differs_from_itself(value: object) -> None:
    assert differences(value, value) == []


@given(JSON, JSON)
def test_differences_are_seen_from_both_sides(one: object, other: object) -> None:
    assert bool(differences(one, other)) == bool(differences(other, one))
