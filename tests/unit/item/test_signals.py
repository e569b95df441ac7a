"""Signals as data: what fits is taken, what does not says why, and what is kept comes back."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from tests.cases import each
from worker.item.outcome import LOOK_AGAIN, sleeping
from worker.item.signals import (
    MAX_VALUE,
    Signal,
    SignalRefused,
    awaited_by,
    document_of,
    kept_signal,
    kept_signals,
    past_signals,
    read_signal,
    signal_id,
    text_of_value,
    wait_key,
)
from worker.item.steps import SIGNALS, Steps
from worker.item.type_form import form_of
from worker.openiap.values import json_text

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Approval(BaseModel):
    by: str
    cents: int = 0


def test_a_value_comes_back_to_the_letter() -> None:
    value = {"at": "2026-03-01T12:00:00.000Z", "by": "Ada"}
    text = text_of_value("approval", value)
    assert "T12:00" not in text  # OpenIAP would make a date of it
    document = document_of("s", "i", "approval", text, queue="q", acl=[{"_id": "a", "rights": 2}])
    assert document["_acl"] == [{"_id": "a", "rights": 2}]
    signal = read_signal(document, None, room=1_000)
    assert isinstance(signal, Signal)
    assert json.loads(signal.text) == value


def test_what_is_too_large_to_be_read_is_passed_over() -> None:
    said = read_signal({"_id": "s"}, None, room=MAX_VALUE)
    assert said == "Signal s is passed over: it is larger than 512 KB"


@each(
    "fields, said",
    [
        ({"value": {}}, "by: Field required"),
        ({}, "value: Input should be a valid dictionary or instance of Approval (given None)"),
        ({"json": "{"}, "its json is no JSON text"),
        ({"json": 7}, "its json is no JSON text"),
        ({"json": "[" * 100_000}, "its json is no JSON text"),
        ({"value": "x" * 200}, "it has 202 Bytes; allowed: 100 Bytes"),
    ],
)
def test_what_does_not_fit_says_why_in_one_sentence(fields: dict, said: str) -> None:
    document = {"_id": "s", "name": "approval", "_createdby": "Ada", **fields}
    told = read_signal(document, form_of(Approval), room=100)
    assert told == f"Signal approval (s, by Ada) is passed over: {said}"


@each(
    "value, said",
    [
        (object(), "The value of signal 'approval' cannot be sent: "),
        (
            "x" * 2 * MAX_VALUE,
            "has 1 MB; allowed: 512 KB; put it into a file or a document, and send its name$",
        ),
    ],
)
def test_a_value_that_cannot_be_sent_is_refused(value: object, said: str) -> None:
    with pytest.raises(SignalRefused, match=said):
        text_of_value("approval", value)


def test_a_key_makes_the_same_signal_one() -> None:
    assert signal_id("i", "approval", "1") == signal_id("i", "approval", "1")
    ids = {signal_id("i", "approval"), signal_id("i", "approval"), signal_id("j", "a", "1")}
    assert len(ids | {signal_id("i", "a", "1"), signal_id("i", "a", "2")}) == 5


def test_what_an_item_keeps_comes_back_in_its_order() -> None:
    steps = Steps("i")
    since, until = NOW.timestamp(), (NOW + timedelta(days=7)).timestamp()
    scan, approval = wait_key("scan", 1), wait_key("approval $1.", 2)
    steps.add(SIGNALS, scan, {"since": since, "until": until, "past": ["bad"]})
    steps.keep("charge", '"V-1"', NOW)
    taken = {"since": since, "at": since, "json": '{"by": "Ada"}', "doc": "s", "by": "Ada"}
    steps.add(SIGNALS, approval, taken)
    steps.add(SIGNALS, scan, {"since": since, "until": until, "at": until, "over": True})
    again = Steps("i", json.loads(json_text(steps.content)))
    one, two = kept_signals(again)
    assert (one.name, one.signal, one.timed_out, one.number) == ("scan #1", "scan", True, 1)
    assert (one.until, one.at) == (NOW + timedelta(days=7),) * 2
    assert (two.signal, two.value, two.by, two.number) == ("approval $1.", {"by": "Ada"}, "Ada", 3)
    assert past_signals(again) == ["s"]
    again.forget_from("charge")
    assert [one.signal for one in kept_signals(again)] == ["scan"]


def test_what_others_put_in_its_place_counts_for_nothing() -> None:
    good = {"n": 1, "since": 1.0}
    odd: dict[str, object] = {
        "1": {"n": 1},
        "2": {"n": 1, "since": "yesterday"},
        "3": {"since": 1.0, "until": True},
        "4": {"since": 1.0, "at": 1e99},
        "5": {"since": 1.0, "json": 7},
        "6": {"since": 1.0, "json": "{"},
        "7": 7,
    }
    found = Steps("i", {"of": "i", "signals": {**odd, "scan #1": good}})
    assert [one.signal for one in kept_signals(found)] == ["scan"]
    assert Steps("i", {"of": "i", "signals": 7}).fresh
    assert "signals" not in Steps("i").content


def test_who_waits_says_for_what_and_since_when() -> None:
    steps = Steps("i")
    keys = [wait_key("scan", 1), wait_key("paid", 1), wait_key("old", 1)]
    steps.add(SIGNALS, keys[0], {"since": NOW.timestamp() + 5})
    steps.add(SIGNALS, keys[1], {"since": NOW.timestamp(), "past": ["bad"]})
    steps.add(SIGNALS, keys[2], {"since": 1.0, "at": 1.0, "json": "1", "doc": "used"})
    awaited = awaited_by(steps, keys, NOW)
    assert str(awaited) == "waits for scan and paid since 2026-03-01 12:00:00 UTC"
    assert awaited_by(steps, keys[2:], NOW) is None
    waits = sleeping(NOW + timedelta(days=1), awaited).waits
    assert waits is not None
    assert waits.unparked_until == NOW + LOOK_AGAIN
    document = waits.document()
    assert (document["signals"], document["past"]) == (["scan", "paid"], ["bad", "used"])
    kept = kept_signal(steps, keys[0])
    assert kept is not None
    assert kept.waits
