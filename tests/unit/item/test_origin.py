"""Where an item of a chain comes from."""

import pytest

from worker.item.metadata import taken_out
from worker.item.origin import MAX_SOURCE, DeadLetter, Origin, mark_of, marked, origin_of
from worker.item.outcome import Outcome
from worker.openiap.workitem import JsonObject, Workitem


def copied(item_id: str, payload: JsonObject, outcome: Outcome) -> JsonObject:
    return marked(payload, mark_of(Workitem(id=item_id, wiq="q", retries=1), outcome))


def read(payload: JsonObject, item_id: str) -> Origin | None:
    return origin_of(taken_out(payload)[1].origin, item_id)


DONE = Outcome("successful", {})
WRONG = Outcome("business", None, "[NO_VAT] no number", "s" * 9_000)


def test_a_copy_knows_its_item_and_the_item_does_not_take_itself_for_a_copy() -> None:
    payload = copied("a", {"n": 1}, DONE)
    assert read(payload, "b") == Origin("a", "q", 2)
    assert read(payload, "a") is None
    assert taken_out(payload)[0] == {"n": 1}


def test_an_item_that_is_put_back_by_hand_still_knows_what_it_comes_from() -> None:
    payload = copied("a", {"openiap_worker": {"namespace": "test"}}, DONE)
    once = copied("b", payload, WRONG)
    again = copied("b", once, WRONG)
    for found in (once, again):
        assert read(found, "b") == Origin("a", "q", 2)
        assert taken_out(found)[1].namespace == "test"
        letter = read(found, "c")
        assert isinstance(letter, DeadLetter)
        assert (letter.id, letter.kind, letter.code) == ("b", "business", "NO_VAT")
        assert letter.message == "no number"
        assert MAX_SOURCE < len(letter.source) < MAX_SOURCE + 100
    third = copied("c", again, DONE)
    assert str(third).count("before") == 1, "marks do not grow along a chain"


@pytest.mark.parametrize(
    "mark",
    [
        None,
        "a",
        {},
        {"id": 7},
        {"id": ""},
        {"id": "b", "before": "b"},
        {"id": "b", "before": {"before": {"id": "a"}}},
    ],
)
def test_a_mark_of_somebody_elses_is_none(mark: object) -> None:
    assert origin_of(mark, "b") is None


@pytest.mark.parametrize("error", [{}, {"type": 3, "message": None, "code": []}])
def test_an_odd_error_still_is_one(error: object) -> None:
    mark = {"id": "a", "queue": 1, "attempts": "x", "error": error}
    assert origin_of(mark, "b") == DeadLetter("a", "", 1, "application", "", "", "")
