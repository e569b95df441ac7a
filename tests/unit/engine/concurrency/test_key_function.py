"""What a handler's key function may give."""

import pytest

from tests.cases import each
from worker.engine.concurrency.key import MAX_KEY, NoKey, key_of, line_name, without_key
from worker.state.cells import MAX_ID, cell_id


def broken(payload):
    return payload["customer"]


def test_text_and_whole_numbers_are_keys() -> None:
    assert key_of(lambda p: p["c"], {"c": "Ada"}, handler="h") == "Ada"
    assert key_of(lambda p: p["c"], {"c": 4711}, handler="h") == "4711"
    assert key_of(lambda p: "ü" * 500, {}, handler="h") == "ü" * 500


@each(
    ("function", "text"),
    [
        (broken, "The key of shop.order raised KeyError: 'customer'"),
        (lambda p: "", "The key of shop.order is empty; allowed: 1 to 1000 bytes of text"),
        (lambda p: " \n", "The key of shop.order is empty; allowed: 1 to 1000 bytes of text"),
        (
            lambda p: "k" * 5000,
            "The key of shop.order has 5000 bytes; allowed: 1 to 1000 bytes of text",
        ),
        (
            lambda p: "ü" * 501,
            "The key of shop.order has 1002 bytes; allowed: 1 to 1000 bytes of text",
        ),
        (
            lambda p: None,
            "The key of shop.order is a NoneType; allowed: text or a whole number",
        ),
        (lambda p: True, "The key of shop.order is a bool; allowed: text or a whole number"),
        (lambda p: 1.5, "The key of shop.order is a float; allowed: text or a whole number"),
    ],
)
def test_what_is_no_key_is_a_business_error(function, text: str) -> None:
    with pytest.raises(NoKey) as refused:
        key_of(function, {}, handler="shop.order")
    outcome = without_key(refused.value)
    assert (outcome.kind, outcome.message) == ("business", text)


def test_text_that_cannot_be_stored_is_no_key() -> None:
    with pytest.raises(NoKey, match="cannot be written as text"):
        key_of(lambda p: "\ud800", {}, handler="h")


def test_the_source_shows_where_the_function_raised() -> None:
    with pytest.raises(NoKey) as refused:
        key_of(broken, {}, handler="h")
    assert 'return payload["customer"]' in without_key(refused.value).source


def test_a_secret_in_the_error_of_a_key_is_masked() -> None:
    def leaks(payload):
        raise ValueError("password=hunter2")

    with pytest.raises(NoKey) as refused:
        key_of(leaks, {}, handler="h")
    assert "hunter2" not in without_key(refused.value).message


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a", "b/c"), ("a/b", "c")), (("a", "b"), ("a", "b ")), (("a~", "1b"), ("a", "~1b"))],
)
def test_lines_of_different_keys_and_queues_are_different(one, other) -> None:
    assert line_name(*one) != line_name(*other)


@each("key", ["k", "k" * MAX_KEY, "%#" * 500, "/" * 900, "ü" * 500])
@each("queue", ["q", "%/" * 40])
def test_a_line_is_found_by_its_queue_whatever_the_key(queue: str, key: str) -> None:
    id = cell_id("n" * 64, "line", line_name(queue, key))
    assert len(id.encode()) <= MAX_ID
    assert id.startswith(cell_id("n" * 64, "line", line_name(queue, "").rpartition("/")[0] + "/"))
