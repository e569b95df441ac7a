"""Whose attempt is it: the judgements before anything is written."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.engine.delivery.fence import CLOSING, closer_of, closing_claim, judge, run_of
from worker.item.outcome import Outcome
from worker.openiap.values import iso
from worker.openiap.workitem import Workitem

POPPED = datetime(2026, 11, 21, 12, 0, 0, 400_000, tzinfo=UTC)
ITEM = Workitem(id="1", retries=1, lastrun=POPPED)
DONE = Outcome("successful", {})
FAILED = Outcome("application", None, "boom")


def document(**fields: object) -> dict:
    return {"_id": "1", "state": "processing", "retries": 1, "lastrun": iso(POPPED), **fields}


@pytest.mark.parametrize("sent", [True, False])
def test_the_same_attempt_in_processing_is_ours(sent: bool) -> None:
    assert judge(document(), ITEM, DONE, sent=sent).verdict == "ours"


def test_a_lastrun_in_whole_seconds_is_the_same_moment() -> None:
    whole = Workitem(id="1", retries=1, lastrun=POPPED.replace(microsecond=0))
    assert judge(document(), whole, DONE, sent=False).verdict == "ours"
    assert judge(document(lastrun=None), ITEM, DONE, sent=False).verdict == "ours"


@pytest.mark.parametrize(
    "fields",
    [
        {"retries": 2},
        {"state": "new"},
        {"state": "successful"},
        {"lastrun": iso(POPPED + timedelta(seconds=60))},
    ],
)
def test_another_attempt_is_lost_and_says_who_has_it(fields: dict) -> None:
    judgement = judge(document(username="b", **fields), ITEM, DONE, sent=False)
    assert judgement.verdict == "lost"
    assert "user b" in judgement.holder


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"state": "successful"}, DONE),
        ({"state": "new", "retries": 2, "errormessage": "boom"}, FAILED),
        ({"state": "processing", "retries": 2, "errormessage": "boom"}, FAILED),
        ({"state": "failed", "errormessage": "boom"}, FAILED),
        ({"state": "new"}, Outcome("released", None, "stopped")),
    ],
)
def test_what_may_have_been_sent_is_recognised_when_it_arrived(
    fields: dict, outcome: Outcome
) -> None:
    assert judge(document(**fields), ITEM, outcome, sent=True).verdict == "applied"
    assert judge(document(**fields), ITEM, outcome, sent=False).verdict == "lost"


def test_anothers_failure_is_not_taken_for_ours() -> None:
    theirs = document(state="failed", errormessage="another reason")
    assert judge(theirs, ITEM, FAILED, sent=True).verdict == "lost"


def test_the_claim_keeps_all_others_out_of_the_attempt() -> None:
    run = run_of(document())
    condition, change = closing_claim("1", 1, run, "a", over=("dead",))
    assert condition["state"] == "processing"
    assert condition["retries"] == 1
    assert "$or" not in condition, "OpenIAP replaces one that stands beside _id"
    assert condition["$and"][0]["$or"][2] == {
        f"{CLOSING}.by": {"$in": ["a", "dead"]},
        f"{CLOSING}.ends": None,
    }
    assert condition["$and"][1] == {"$expr": {"$eq": ["$lastrun", {"$toDate": run}]}}
    assert change == {"$set": {CLOSING: {"retries": 1, "run": run, "by": "a"}}}
    assert closer_of(document(**{CLOSING: {"retries": 1, "run": run, "by": "a"}}), 1) == "a"
    assert closer_of(document(**{CLOSING: {"retries": 0, "run": run, "by": "a"}}), 1) == ""
    assert closer_of(document(**{CLOSING: {"retries": 1, "run": run - 1, "by": "a"}}), 1) == ""
