"""Each kind of document is read at one place, which takes whatever anybody may have written."""

import base64
import json
import math
import zlib
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.documents import ANY_JSON, written
from worker.engine.concurrency.holders import Holder, content_of, holders_of
from worker.engine.concurrency.waiting_line import waiter_of
from worker.engine.delivery.fence import closer_of, judge, run_of
from worker.engine.fleet.command import LONGEST as LONGEST_COMMAND
from worker.engine.fleet.command import MOST as MOST_COMMANDS
from worker.engine.fleet.command import Command, commands_of, is_over
from worker.engine.fleet.deaths import MOST, Deaths, deaths_of, mark_of, marked
from worker.engine.fleet.leadership import leads_at_earliest, rank_of
from worker.engine.fleet.mailbox import (
    FULL,
    Seal,
    refusal_of,
)
from worker.engine.fleet.presence import WorkerInfo, claims_of, document_of, peer_of
from worker.engine.fleet.report import COUNTS, MOST_ANSWERS, MOST_PROGRESS, report_of
from worker.engine.fleet.rescuer import RescueTimes, orphan_of, run_id
from worker.engine.fleet.sightings import Sightings
from worker.engine.fleet.takeover import outcome_of, workitem_of
from worker.engine.fleet.turn_lengths import TurnLength
from worker.engine.outbox.batch import entry_of
from worker.engine.outbox.rows import outcome_from, outcome_text, workitem_from, workitem_text
from worker.engine.outbox.sqlite import StoredRow
from worker.engine.queues import acl_over, facts_of, is_for
from worker.engine.scheduler.records import records_of
from worker.engine.scheduler.switches import FIELD, Switch, switched, switches_of
from worker.item.metadata import KEY, joined, taken_out
from worker.item.new_item import FollowUp
from worker.item.outcome import Outcome
from worker.item.unique import Unique, held_until
from worker.openiap.errors import ServerError
from worker.openiap.fields import LONGEST, Misfit
from worker.openiap.values import iso
from worker.openiap.workitem import Workitem
from worker.state.cells import version_of
from worker.state.counter import _value as value_of
from worker.state.lock import _lease as lease_of
from worker.state.lock import number_of
from worker.telemetry.minutes import HOUR, LAST_BUCKET, Minute, hours_of, packed, quantile, together

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TIMES = RescueTimes(interval=30, dead_after=45, unclaimed_after=900)
RIGHTS = [{"_id": "role", "rights": 65535, "deny": False}]

MAILBOX = {
    "_id": "m",
    "_type": "mailbox",
    "worker": "a",
    "seal": "s",
    "commands": [
        Command("seen", "quiet", NOW).document(),
        Command("c", "concurrency", NOW + timedelta(seconds=9), "q", 3).document(),
    ],
    "_acl": [{"_id": "me", "name": "me", "rights": 65535}],
    "_modified": iso(NOW),
    "_modifiedby": "boss",
    "_modifiedbyid": "b",
}
HOUR_TOLD = packed([Minute(5, 1, 1, 1, Counter({3: 4}), Counter({9: 7})), None, Minute(1)])
REPORT = {
    "queues": {"q": {"handler": "h", "timeout": 5.0, "popped": 3, "trouble": "t"}},
    "progress": {"i": [0.5, "half"]},
    "outbox": 1,
    "not_ready": {"link": "no"},
    "quiet": "quiet",
    "level": "info",
    "mailbox": "m",
    "minutes": {"into": 5, "queues": {"q": HOUR_TOLD}},
    "answers": [{"id": "c", "action": "quiet", "done": True, "text": "", "at": iso(NOW)}],
}
TOLD = {
    "free": {"q": 3},
    "pops": {"q": 0.005},
    "turns": {"q": TurnLength(0.05, 1_780_000_000.0, 0.025).document()},
}
WORKER = {
    **document_of(
        WorkerInfo("a", "1", {"q": 4}), NOW, [], TOLD, rounds=2, first=False, report=REPORT
    ),
    "_modified": iso(NOW),
    "items": [{"id": "i", "queue": "q", "retries": 0, "lastrun": iso(NOW)}],
}
ITEM = {
    "_id": "i",
    "name": "n",
    "state": "processing",
    "retries": 1,
    "lastrun": iso(NOW - timedelta(hours=1)),
    "username": "bob",
    "priority": 2,
    "wiq": "q",
    "wiqid": "w",
    "errormessage": "no",
    "openiap_worker_closing": {"by": "b", "retries": 1, "run": 5},
}
DEATHS = Deaths("i", (1_001, 2_002), (2_002,), (1_001,), workers=("a",)).document("q", NOW)
OLDER_DEATHS = {"_id": "deaths-i", "_type": "deaths", "attempts": [1, 2], "workers": ["a"]}
RECORD = {
    "_id": "/schedule/q/s",
    "_type": "schedule",
    "queue": "q",
    "schedule": "s",
    "expression": "* * * * *",
    "tz": "UTC",
    "missed": "",
    "since": iso(NOW),
    "last": iso(NOW),
}
SWITCH = {**RECORD, "_type": "schedule_switch", "paused": True, "_modified": iso(NOW)}
SWITCHED = {
    "_id": "w",
    "name": "q",
    FIELD: [{"namespace": "", "name": "s", "paused": True, "at": 1_795_894_442_873}],
}
PLACE = {
    "_id": "/line/q/k#0000000002/i/0",
    "_type": "place",
    "name": "k",
    "line": "q/k",
    "item": "i",
    "retries": 0,
    "_created": iso(NOW),
}
CELL = {
    "_id": "/key/q/k#0000000007",
    "_type": "cell",
    "name": "q/k",
    "kind": "key",
    "cell": "/key/q/k",
    "number": 7,
    "token": "t",
    "removed": False,
    "content": content_of("k", [Holder("i", 0)]),
    "_created": iso(NOW),
    "_acl": RIGHTS,
}
QUEUE = {
    "_id": "w",
    "name": "q",
    "maxretries": 3,
    "retrydelay": 0,
    "amqpqueue": "a",
    "_acl": RIGHTS,
}
FOLLOW_UP = FollowUp("f", "q", {"a": 1}, nextrun=NOW, acl=tuple(RIGHTS), unique=Unique("k")).kept()
OUTCOME = json.loads(outcome_text(Outcome("successful", {"a": 1}, attachments=(("n", "/p"),)))) | {
    "pushes": [FOLLOW_UP]
}
POPPED = json.loads(workitem_text(Workitem(id="i", wiq="q", lastrun=NOW)))


@given(written(MAILBOX))
def test_mailboxes(document: dict[str, Any]) -> None:
    if not refusal_of(document, Seal("m", "s", {"me": FULL})):
        assert document["seal"] == "s"
        allowed = [entry for entry in document["_acl"] if entry["rights"]]
        assert all(entry["_id"] == "me" for entry in allowed)
    commands = commands_of(document, ["seen"])
    assert len(commands) <= MOST_COMMANDS
    for command in commands:
        assert command.id != "seen"
        if not is_over(command, NOW, NOW):
            assert NOW < command.expires <= NOW + LONGEST_COMMAND


@given(written(WORKER))
def test_reports_of_workers(document: dict[str, Any]) -> None:
    report = report_of(document, NOW)
    if report is None:
        return
    json.dumps([report.outbox, report.level, report.quiet, report.mailbox, dict(report.not_ready)])
    assert len(report.progress) <= MOST_PROGRESS
    assert all(0 <= share <= 1 for share, _ in report.progress.values())
    assert len(report.answers) <= MOST_ANSWERS
    for queue in report.queues:
        assert set(queue.counts) <= set(COUNTS)
        assert len(queue.hour) <= HOUR
        assert quantile(together(queue.hour).run, 0.5) is None or queue.hour


@given(st.binary(max_size=200), st.booleans(), ANY_JSON)
def test_hours_that_no_worker_has_written(plain: bytes, zipped: bool, other: Any) -> None:
    text = base64.b64encode(zlib.compress(plain) if zipped else plain).decode()
    for told in ({"into": other, "queues": {"q": text, "p": other}}, other):
        into, hours = hours_of(told)
        assert 0 <= into < 60
        for hour in hours.values():
            assert len(hour) <= HOUR
            summed = together(hour)
            assert all(0 <= bucket <= LAST_BUCKET for bucket in summed.run | summed.wait)


@given(st.lists(written(WORKER), max_size=3))
def test_worker_documents(documents: list[dict[str, Any]]) -> None:
    told: list[Misfit] = []
    peers = [peer for one in documents if (peer := peer_of(one, NOW, told.append)) is not None]
    assert len(peers) + len(told) >= len(documents)
    for peer in Sightings(lambda: 5.0).note(peers):
        assert peer.id
        assert math.isfinite(peer.silent)
        assert all(id and type(retries) is int for id, retries in peer.claims)
        assert peer.wants("q") in (True, False)
        assert peer.rounds is None or type(peer.rounds) is int
    assert rank_of("z", "q", peers, 45) <= len(peers)
    assert math.isfinite(leads_at_earliest(["q"], peers, "z", 45))
    orphan_of(ITEM, peers, frozenset(), TIMES, NOW)
    for document in documents:
        for claim in claims_of(document):
            assert claim.id


@given(written(ITEM), written(WORKER))
def test_items_in_processing(document: dict[str, Any], worker: dict[str, Any]) -> None:
    peer = peer_of(worker, NOW)
    run_id(document), run_of(document), closer_of(document, 1)
    orphan = orphan_of(document, [peer] if peer else [], frozenset(), TIMES, NOW, seen=1e6)
    if orphan is not None:
        assert outcome_of(orphan, Deaths("i", (1,)), 3, "b").message
    judge(document, workitem_of(document), Outcome("successful"), sent=True)


@given(written(DEATHS) | written(OLDER_DEATHS), st.integers(0, 9_999), st.booleans())
def test_deaths(document: dict[str, Any], run: int, alone: bool) -> None:
    before = deaths_of("i", document)
    found = before.and_(run, "w", alone=alone, raised=not alone)
    assert before.total <= found.total <= before.total + 1
    assert len(found.runs) <= MOST
    assert set(found.alone) | set(found.raised) <= set(found.runs)
    assert found.and_(run, "w", alone=alone) == found
    assert marked(mark_of(found.total)) == found.total
    stored = json.loads(json.dumps(found.document("q", NOW)))
    told: list[Misfit] = []
    assert deaths_of("i", stored, told.append) == found
    assert told == []


@given(st.lists(written(RECORD) | written(SWITCH), max_size=3))
def test_schedule_records(documents: list[dict[str, Any]]) -> None:
    for record in records_of(documents, NOW).values():
        for moment in (record.since, record.last, record.resumed):
            assert moment is None or moment <= NOW + timedelta(days=1)
    records_of(documents)


@given(ANY_JSON)
def test_a_schedule_is_paused_by_true_in_its_queue_and_by_nothing_else(odd: Any) -> None:
    told: list[Misfit] = []
    queue = {"name": "q", FIELD: [{"namespace": "", "name": "s", "paused": odd}]}
    for switches in (switches_of([queue]), switches_of([{"name": "q", FIELD: odd}])):
        records = records_of([RECORD], NOW, told.append, switches)
        (record,) = records.values()
        assert record.paused is (odd is True and bool(switches))
    (record,) = records_of([RECORD, {**SWITCH, "paused": odd}], NOW, told.append).values()
    assert not record.paused
    assert bool(told) is (odd is True)


@given(st.lists(written(SWITCHED), max_size=3))
def test_switches_of_schedules(queues: list[dict[str, Any]]) -> None:
    for (queue, name), switch in switches_of(queues).items():
        assert isinstance(queue, str)
        assert isinstance(name, str)
        assert isinstance(switch.paused, bool)
    for document in queues:
        again = {**document, FIELD: list(switched(document, "", "s", Switch(True, NOW)))}
        if isinstance(document.get("name"), str) and len(document["name"]) < 1_000:
            assert switches_of([again])[document["name"], "s"] == Switch(True, NOW)


@given(written(PLACE))
def test_places_in_a_line(document: dict[str, Any]) -> None:
    told: list[Misfit] = []
    found = waiter_of(document, told.append)
    assert (found is None) == bool(told)
    assert found is None or (found.id and found.line and found.item)


@given(written(CELL))
def test_cells_and_holders(document: dict[str, Any]) -> None:
    version = version_of(document)
    if version is None:
        return
    assert 0 <= version.number < 10**10
    for holder in holders_of(version):
        assert holder.item
        assert holders_of(version_of({**CELL, "content": content_of("k", [holder])})) == [holder]


@given(written(CELL), ANY_JSON)
def test_cells_of_counters_and_locks(document: dict[str, Any], content: Any) -> None:
    for one in (document, {**CELL, "content": content}, {**CELL, "content": {"value": content}}):
        if (version := version_of(one)) is None:
            continue
        assert number_of(version) >= 0
        with suppress(ServerError):  # the counter's misfit: to begin anew would repeat numbers
            assert type(value_of(version)) is int
        assert 0 <= lease_of(version, 5.0) <= LONGEST


@given(written(QUEUE))
def test_queue_documents(document: dict[str, Any]) -> None:
    facts = facts_of("q", document)
    assert type(facts.maxretries) is type(facts.retrydelay) is int
    acl_over([facts])
    is_for(document, "q", "w")


@given(ANY_JSON | written({KEY: {"checkpoint": 1, "namespace": "n", "unique": "u"}, "a": 1}))
def test_metadata_in_payloads(payload: Any) -> None:
    if not isinstance(payload, dict):
        payload = {KEY: payload}
    rest, metadata = taken_out(payload)
    assert KEY not in rest
    assert taken_out(joined(rest, metadata)) == (rest, metadata)


@given(written(FOLLOW_UP) | ANY_JSON)
def test_follow_ups(document: Any) -> None:
    with suppress(ValueError, TypeError):
        found = FollowUp.read(document)
        assert found.id
        assert found.queue
        found.document()
        assert FollowUp.read(found.kept()) == found


def test_a_follow_up_of_a_newer_version_is_read_without_its_new_fields() -> None:
    newer = {**FOLLOW_UP, "later": 1, "unique": {"key": "k", "hold": 5, "window": "1h"}}
    assert FollowUp.read(newer).unique == Unique("k", 5.0)


@pytest.mark.parametrize("unique", [{}, {"key": ""}, 5, {"key": "k", "hold": float("nan")}])
def test_a_follow_up_whose_key_cannot_be_read_is_none(unique: object) -> None:
    with pytest.raises(ValueError, match="unique key"):
        FollowUp.read({**FOLLOW_UP, "unique": unique})


@given(written(OUTCOME) | ANY_JSON, written(POPPED) | ANY_JSON, st.floats() | st.just(1.0))
def test_outbox_rows(outcome: Any, workitem: Any, popped: float) -> None:
    with suppress(ValueError, TypeError):
        outcome_from(json.dumps(outcome))
    with suppress(ValueError, TypeError):
        assert workitem_from(json.dumps(workitem)).id
    row = StoredRow(1, 1, "i", 0, popped, json.dumps(workitem), json.dumps(outcome))
    entry, why = entry_of(1, row)
    assert entry is not None or why


@given(written(ITEM), ANY_JSON)
def test_how_long_a_unique_key_is_held(document: dict[str, Any], hold: Any) -> None:
    until = held_until({**document, "_modified": iso(NOW)}, hold)
    assert until is None or until >= NOW
    held_until(document, hold)
