"""A usual ending as text is the very one that is made of values."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.cases import each
from worker.engine.delivery.delivery import Delivery
from worker.engine.delivery.ending import Run, ending_of
from worker.engine.delivery.fence import run_at
from worker.engine.delivery.queue_rules import QueueRules
from worker.engine.delivery.timeline import Timelines
from worker.engine.delivery.usual_ending import Texts, UsualEnding
from worker.item.outcome import UNCHANGED, Outcome
from worker.openiap.workitem import Workitem, WorkitemFile

NOW = datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC)
RULES = QueueRules("5f0000000000000000000001", "invoices", 3, 60)
ITEM = Workitem(id="5f00000000000000000000aa", retries=2, lastrun=NOW - timedelta(seconds=3))
ACL = ({"_id": "5f00", "rights": 65535, "name": 'ad"min %s'},)


def usual(worker_id: str = "w-1", history: int = 10) -> UsualEnding:
    return UsualEnding(worker_id, Timelines(worker_id, history, lambda: NOW))


def texts_of(ends: UsualEnding, delivery: Delivery, rules: QueueRules) -> Texts | None:
    return ends.of(delivery, run_at(delivery.workitem.lastrun), rules)


def as_values(worker_id: str, history: int, delivery: Delivery, rules: QueueRules) -> list[Any]:
    workitem = delivery.workitem
    run = Run(workitem, run_at(workitem.lastrun), worker_id)
    ending = ending_of(run, delivery.outcome, rules, due=NOW, at=NOW)
    assert ending is not None
    change = Timelines(worker_id, history, lambda: NOW).in_change(delivery, ending)
    return [ending.condition, change]


@each("history", [0, 1, 10])
@each(
    "rules",
    [
        RULES,
        replace(RULES, acl=ACL),
        replace(RULES, chained=frozenset({"failed"})),
        replace(RULES, name='100 % of "it"\\ %(id)s', id=""),
    ],
)
def test_it_says_what_every_other_ending_says(rules: QueueRules, history: int) -> None:
    ends = usual('w "1" %d', history)
    for retries, ran in ((0, 0.0), (2, 0.0004), (7, 3.14159), (123, 86_400.5)):
        item = replace(ITEM, retries=retries, lastrun=NOW - timedelta(seconds=ran + 1))
        delivery = Delivery(item, UNCHANGED, ran=ran)
        texts = texts_of(ends, delivery, rules)
        assert texts is not None
        told = [json.loads(text) for text in texts]
        assert told == as_values('w "1" %d', history, delivery, rules)
        assert [json.dumps(one) for one in told] == [
            json.dumps(one) for one in as_values('w "1" %d', history, delivery, rules)
        ], "in the same order"


def test_a_queue_that_changes_is_told_of_anew() -> None:
    ends, delivery = usual(), Delivery(ITEM, UNCHANGED, ran=1.0)
    for rules in (RULES, replace(RULES, id="5f0000000000000000000002"), replace(RULES, acl=ACL)):
        texts = texts_of(ends, delivery, rules)
        assert texts is not None
        assert [json.loads(text) for text in texts] == as_values("w-1", 10, delivery, rules)


@each("name", ["1804289383", "5ca1ab1e0ddba115ca1ab1e0", "846930.886", "at 2026-01-01T00:00:00.5Z"])
def test_names_that_would_not_arrive_as_they_are_go_the_way_of_all_others(name: str) -> None:
    delivery = Delivery(ITEM, UNCHANGED, ran=1.0)
    assert texts_of(usual(worker_id=name), delivery, RULES) is None
    assert texts_of(usual(), delivery, replace(RULES, name=name)) is None


def test_what_is_not_usual_goes_the_way_of_all_others() -> None:
    ends, usually = usual(), Delivery(ITEM, UNCHANGED, ran=1.0)
    assert texts_of(ends, usually, RULES) is not None
    assert texts_of(ends, usually, replace(RULES, chained=frozenset({"successful"}))) is None
    for other in (
        replace(usually, outcome=Outcome("successful", {"n": 1})),
        replace(usually, outcome=Outcome("failed", None, "no")),
        replace(usually, outcome=Outcome("application", None, "no")),
        replace(usually, outcome=Outcome("released", None, "later")),
        replace(usually, outcome=Outcome("successful", None, attachments=(("a", "/a"),))),
        replace(usually, workitem=replace(ITEM, lastrun=None)),
        replace(usually, workitem=replace(ITEM, id='a"b')),
        replace(usually, workitem=replace(ITEM, id="5f00000000000000000000aA")),
        replace(usually, over=("w-2",)),
        replace(usually, anew=True),
        replace(usually, copy_of="5f00000000000000000000bb"),
        replace(usually, uploaded=[WorkitemFile("a", "1")]),
        replace(usually, ran=None),
    ):
        assert texts_of(ends, other, RULES) is None
