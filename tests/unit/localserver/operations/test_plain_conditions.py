"""Plain conditions mean what mongomock makes of them, or are left to it."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from worker.localserver.operations.matching import applies
from worker.localserver.operations.plain_conditions import (
    NotPlain,
    applies_plainly,
    with_made_dates,
)
from worker.localserver.storage import json_text

MOMENT = 1795867200123
SINGLES = st.sampled_from([None, True, False, 0, 1, 1.0, "", "a", "1"])
FIELDS = st.sampled_from(["a", "b", "a.b", "c.d"])
VALUES = st.one_of(
    SINGLES,
    st.just([1]),
    st.just({"b": 1}),
    st.just(json_text.write_date(MOMENT)),
    st.just({"b": ["a"]}),
)
COMPARED = st.one_of(
    SINGLES,
    SINGLES.map(lambda one: {"$ne": one}),
    st.lists(SINGLES, min_size=1, max_size=3).map(lambda several: {"$in": several}),
    st.just({"$gt": 0}),
    st.just({"b": 1}),
)
SIMPLE = st.dictionaries(FIELDS, COMPARED, max_size=2)
EXPRESSIONS = st.sampled_from(
    [{"$expr": {"$eq": ["$a", {"$toDate": moment}]}} for moment in (MOMENT, MOMENT + 1)]
)
CONDITIONS = st.one_of(
    SIMPLE,
    EXPRESSIONS,
    st.tuples(
        SIMPLE, st.sampled_from(["$and", "$or"]), st.lists(SIMPLE, min_size=1, max_size=3)
    ).map(lambda parts: {**parts[0], parts[1]: parts[2]}),
)


@given(CONDITIONS, st.dictionaries(st.sampled_from("abc"), VALUES))
def test_a_plain_condition_means_what_mongomock_makes_of_it(
    condition: dict[str, Any], document: dict[str, Any]
) -> None:
    try:
        met = applies_plainly(condition, document)
    except NotPlain:
        return
    if "$expr" in condition and "a" not in document:  # which mongomock refuses
        assert not met
    else:
        # mongomock takes true for 1, as Python does and MongoDB does not.
        asked = told_apart(condition), told_apart(document)
        assert met == applies(with_made_dates(asked[0]), json_text.with_dates(asked[1]))


def told_apart(value: Any) -> Any:
    """Return a value in which true and false are texts that nothing else is."""
    if isinstance(value, dict):
        return {key: told_apart(one) for key, one in value.items()}
    if isinstance(value, list):
        return [told_apart(one) for one in value]
    return f"it is {value}" if isinstance(value, bool) else value


def test_the_condition_of_an_outcome_is_plain() -> None:
    stored = json_text.write_date(MOMENT)
    document = {"retries": 1, "lastrun": stored, "closing": {"by": "me"}, "success_wiq": None}
    condition = {
        "retries": 1,
        "$and": [
            {"$or": [{"closing.run": {"$ne": 5}}, {"closing.by": {"$in": ["me"]}}]},
            {"$expr": {"$eq": ["$lastrun", {"$toDate": MOMENT}]}},
        ],
        "success_wiq": {"$in": [None, ""]},
    }
    assert applies_plainly(condition, document)
    assert not applies_plainly(condition, {**document, "lastrun": None})
    assert not applies_plainly(condition, {**document, "lastrun": json_text.write_date(MOMENT + 1)})
    assert datetime.fromtimestamp(MOMENT / 1000, UTC).year == 2026


def test_a_conditional_update_stores_what_openiap_makes_of_texts_with_dates() -> None:
    def misread(value: object) -> Any:
        return json_text.misread(json_text.write(value), value)

    assert misread({"a": ["on 2026-11-20T10:00:00.000Z"]}) == {"a": ["1970-01-01T00:00:00.000Z"]}
    assert misread("2026-11-20T10:00:00.000Z") == "2026-11-20T10:00:00.000Z"
    assert misread({"a": "2026-11-20"}) == {"a": "2026-11-20"}
    assert misread({"a": "__REGEXP /a/"}) == {"a": {}}
