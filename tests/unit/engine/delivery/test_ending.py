"""What a conditional update makes of an item is what OpenIAP's own update would make of it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import each
from worker.engine.delivery.carried import carried
from worker.engine.delivery.ending import Run, ending_of, state_after
from worker.engine.delivery.fence import CLOSING, decided_of
from worker.engine.delivery.queue_rules import QueueRules, rules_of
from worker.item.outcome import Kind, Outcome, update_of
from worker.localserver.storage.item_rules import ItemUpdate, Queue, StoredItem, apply_update
from worker.openiap.values import iso, json_text
from worker.openiap.workitem import Workitem, WorkitemFile

POPPED = datetime(2026, 11, 28, 12, 0, 0, 123_000, tzinfo=UTC)
ITEM = Workitem(id="1", wiq="q", wiqid="id-of-q", retries=1, lastrun=POPPED, payload={"a": 1})
RUN = Run(ITEM, 1795867200123, "me")
RULES = QueueRules("id-of-q", "q", maxretries=3, retrydelay=7)
DONE = Outcome("successful", {"a": 1, "b": 2})


def ended(outcome: Outcome, rules: QueueRules = RULES, **more: Any) -> Any:
    due = POPPED + timedelta(seconds=rules.retrydelay)
    found = ending_of(more.pop("run", RUN), outcome, rules, due=due, at=due, **more)
    assert found is not None
    return found


@given(
    kind=st.sampled_from(["successful", "application", "business", "failed"]),
    retries=st.integers(0, 4),
    maxretries=st.integers(0, 4),
    message=st.sampled_from(["", "boom"]),
    source=st.sampled_from(["", "traceback"]),
    before=st.sampled_from(["", "earlier"]),
)
def test_every_field_is_as_the_servers_own_rule_has_it(
    kind: Kind, retries: int, maxretries: int, message: str, source: str, before: str
) -> None:
    outcome = Outcome(kind, {"b": 2} if kind == "successful" else None, message, source)
    item = replace(ITEM, retries=retries)
    stored = StoredItem(
        "1", "id-of-q", "q", "processing", 2, None, 1, retries, "n", '{"a":1}', [], "u", "me"
    )
    stored.errormessage = stored.errorsource = before
    stored.errortype = "application" if before else ""
    sent = update_of(item, outcome)
    update = ItemUpdate(
        state=sent.state,
        payload=None if sent.payload is None else json_text(sent.payload),
        errormessage=sent.errormessage,
        errorsource=sent.errorsource,
        errortype=sent.errortype,
    )
    queue = Queue("id-of-q", "q", maxretries=maxretries, retrydelay=7)
    now = round(POPPED.timestamp() * 1000)
    theirs, _ = apply_update(stored, update, queue, now)
    rules = QueueRules("id-of-q", "q", maxretries=maxretries, retrydelay=7)
    ours = ended(outcome, rules, run=replace(RUN, workitem=item))
    fields = {
        "state": "processing",
        "payload": {"a": 1},
        "retries": retries,
        "userid": "u",
        "username": "me",
        "errormessage": before,
        "errorsource": before,
        "errortype": stored.errortype,
        **ours.change["$set"],
    }
    if theirs.state == "successful":  # OpenIAP's own update cannot take an earlier error away
        assert {"errormessage", "errorsource", "errortype"} <= set(ours.change["$unset"])
        theirs.errormessage = theirs.errortype = theirs.errorsource = ""
        fields |= dict.fromkeys(ours.change["$unset"], "")
    for name in ("state", "retries", "userid", "username", "errormessage", "errorsource"):
        value = fields[name]
        assert ("" if value is None else value) == getattr(theirs, name), name
    assert fields["errortype"] == theirs.errortype
    assert fields["payload"] == json.loads(theirs.payload)
    due = None if theirs.nextrun is None else theirs.nextrun
    assert ("nextrun" in ours.change["$unset"]) is (due is None)
    if due is not None:
        assert fields["nextrun"] == iso(POPPED + timedelta(seconds=7))
    assert ours.state == theirs.state == state_after(outcome, retries, rules)


def test_an_item_that_goes_on_is_decided_and_stays_in_processing() -> None:
    found = ended(DONE, replace(RULES, chained=frozenset({"successful"})))
    assert found.decided
    fields = found.change["$set"]
    assert "state" not in fields
    mark = {"id": "1", "queue": "q", "attempts": 2}
    assert fields["payload"] == {**(DONE.payload or {}), "openiap_worker": {"origin": mark}}
    document = {"lastrun": iso(POPPED), **fields}
    assert decided_of(document, ITEM.retries) == "successful"
    assert decided_of({**document, "lastrun": iso(POPPED + timedelta(seconds=1))}, 1) == ""
    assert found.condition["$and"][0]["$or"][2][f"{CLOSING}.ends"] is None, "closed to all"


def test_a_chain_for_failures_does_not_hold_up_a_retry() -> None:
    chained = replace(RULES, chained=frozenset({"failed"}))
    assert not ended(Outcome("application", None, "boom"), chained).decided
    assert ended(Outcome("business", None, "no"), chained).decided


def test_the_copy_of_a_failed_item_bears_its_error_and_the_rest_of_its_payload() -> None:
    chained = replace(RULES, chained=frozenset({"failed"}))
    wrong = Outcome("business", None, "[NO_VAT] no number", "traceback")
    fields = ended(wrong, chained).change["$set"]
    assert "payload" not in fields
    assert fields["payload.openiap_worker.origin"] == {
        "id": "1",
        "queue": "q",
        "attempts": 2,
        "error": {
            "type": "business",
            "message": "no number",
            "code": "NO_VAT",
            "source": "traceback",
        },
    }


def test_an_item_of_which_it_is_not_known_is_to_name_no_queue_of_its_own() -> None:
    assert ended(DONE).condition["success_wiq"] == {"$in": [None, ""]}
    assert ended(DONE, run=replace(RUN, chained=frozenset({"successful"}))).decided
    known = ended(DONE, run=replace(RUN, chained=frozenset()))
    assert "success_wiq" not in known.condition
    assert not known.decided


def test_files_take_the_place_of_their_name_or_the_end() -> None:
    files = [WorkitemFile("b.txt", "new-b"), WorkitemFile("c.txt", "new-c")]
    found = ended(DONE, run=replace(RUN, files=["a.txt", "b.txt"]), files=files)
    assert found.condition["files"] == {"$size": 2}
    assert found.condition["files.1.name"] == "b.txt"
    fields = found.change["$set"]
    assert fields["files.1"] == {"name": "b.txt", "filename": "b.txt", "_id": "new-b"}
    assert fields["files.2"]["_id"] == "new-c"
    due = POPPED
    twice = replace(RUN, files=["b.txt", "b.txt"])
    assert ending_of(twice, DONE, RULES, due=due, at=due, files=files) is None


@each(
    ("value", "same"),
    [
        ("2026-11-20T10:00:00.000Z", True),
        (["2026-11-20T10:00:00.123+02:00"], True),
        ("2026-11-20T10:00:00Z", True),
        ("late at 2026-11-20T10:00:00.000Z", False),
        ('"2026-11-20T10:00:00.000Z"', False),
        ("2026-11-20T10:00:00.000Z/2026-11-21T10:00:00.000Z", False),
        ("2026-13-45T10:00:00.000Z", False),
        ("__REGEXP /a/", False),
        (["__REGEXP "], False),
        ("REGEXP", True),
    ],
)
def test_what_a_conditional_update_would_change_is_known(value: object, same: bool) -> None:
    assert carried(json_text({"$set": {"payload": {"x": value}}})) is same


@pytest.mark.parametrize("field", ["maxretries", "retrydelay"])
def test_a_queue_whose_numbers_are_none_has_no_rules(field: str) -> None:
    document = {"_id": "1", "name": "q", "maxretries": 3, "retrydelay": 0}
    assert rules_of(document) == QueueRules("1", "q", 3, 0)
    assert rules_of({**document, field: "3"}) is None
    assert rules_of({k: v for k, v in document.items() if k != field}) is None
