"""Errors that differ in ids, numbers and the like alone are one group, and others are not."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import each
from worker.management.items.grouping import (
    MOST_GROUPS,
    OTHER,
    Groups,
    group_of,
    normalised,
)


@each(
    ("one", "other"),
    [
        ("Invoice 4711 has no price", "Invoice 12 has no price"),
        ("amount 12.50 is above 10,000", "amount 7 is above 5"),
        ("no customer 'Ada'", "no customer 'Bob & Co'"),
        ('no field "a" in "b c"', 'no field "x" in "y"'),
        ("mail to ada@example.org refused", "mail to bob.b+x@mail.example.com refused"),
        (
            "https://api.example.com/v1/orders/17?x=1 answered 503",
            "http://10.0.0.1:8080/ answered 502",
        ),
        ("host 10.1.2.3:5432 is away", "host 192.168.0.7 is away"),
        (
            "order 6b0122f6b9da5a22be1c58c6 is closed",
            "order 7c0122f6b9da5a22be1c58c7 is closed",
        ),
        (
            "run 123e4567-e89b-12d3-a456-426614174000 died",
            "run 00000000-0000-0000-0000-000000000001 died",
        ),
        ("due 2026-11-28T12:00:00.123Z", "due 2025-01-02"),
        ("due 24.12.2026 at 10:11:12", "due 1.2.26 at 01:02:03"),
        ("no file /var/data/a b", "no file /srv/in/x b"),
        (r"no file C:\data\in\a.csv", "no file /srv/in/x.csv"),
        ("at 0xdeadbeef", "at 0x1"),
        ("order ORD-17 twice", "order ORD-4711-x twice"),
        ("line one 1\nsecond line", "line one 2\nanother second line"),
        ("a  b 1", " a b 2"),
    ],
)
def test_what_differs_in_values_alone_is_one_group(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert group_of({"errormessage": one}) == group_of({"errormessage": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no price", "no stock"),
        ("[NO_PRICE] wrong", "[NO_STOCK] wrong"),
        ("TimeoutError: wrong", "KeyError: wrong"),
        ("it's Ada's", "it's Bob's"),
        ("decade of a facade", "facade of a decade"),
    ],
)
def test_what_differs_in_words_is_two_groups(one: str, other: str) -> None:
    assert group_of({"errormessage": one}) != group_of({"errormessage": other})


def test_a_group_says_what_when_where_and_shows_one() -> None:
    groups = Groups()
    for number, queue in enumerate(("a", "b", "a")):
        groups.add(
            {
                "_id": f"i{number}",
                "errormessage": f"[GONE] order {number} is gone",
                "wiq": queue,
                "_modified": f"2026-11-28T12:00:0{2 - number}.000Z",
            }
        )
    groups.add({"_id": "z", "wiq": "a"})
    first, second = groups.found()
    assert (first.code, first.message) == ("GONE", "order <number> is gone")
    assert (first.count, first.queues) == (3, {"a": 2, "b": 1})
    assert (first.first, first.last) == ("2026-11-28T12:00:00.000Z", "2026-11-28T12:00:02.000Z")
    assert (first.sample.id, first.sample.message) == ("i0", "[GONE] order 0 is gone")
    assert (second.message, second.count, second.first) == ("(no message)", 1, None)


def test_ever_other_messages_take_bounded_memory() -> None:
    groups = Groups()
    words = "abcdefghij"
    for number in range(MOST_GROUPS + 50):
        groups.add({"errormessage": "".join(words[int(digit)] for digit in str(number))})
    found = {group.id: group.count for group in groups.found()}
    assert len(found) == MOST_GROUPS + 1
    assert found[OTHER] == 50


@given(st.text(max_size=300))
def test_whatever_is_written_has_a_group(message: str) -> None:
    assert len(group_of({"errormessage": message})) == 12


@each(
    "hostile",
    [
        *("a" * 100_000, "/" * 100_000, "'" * 99_999, "a@" * 50_000, "1." * 50_000),
        *("0" * 100_000, "a-" * 50_000, "http://" * 9_000, "aA-1" * 9_000, "[a" * 9_000),
    ],
)
def test_no_message_takes_long(hostile: str) -> None:
    began = time.process_time()
    normalised(hostile)
    assert time.process_time() - began < 0.5
