"""A long payload stays text until somebody asks for its values; nothing else is seen of that."""

import copy
import json
import pickle
from dataclasses import replace

import pytest

from tests.cases import each
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.messages import workitem, workitem_message
from worker.openiap.workitem import READ_LATER, Workitem

LONG = {"text": "x" * READ_LATER, "n": 1}
TEXT = json.dumps(LONG)


def came(text: str) -> Workitem:
    return workitem(pb.Workitem(_id="1", payload=text))


def test_a_long_payload_is_read_when_it_is_asked_for() -> None:
    item = came(TEXT)
    assert item.unread
    assert item.payload == LONG
    assert not item.unread
    assert (item.text, item.size) == (TEXT, len(TEXT))
    assert item.payload is item.payload


@pytest.mark.parametrize("text", ['{"n":1}', json.dumps([LONG]), ""])
def test_a_short_one_and_what_is_no_object_are_read_at_once(text: str) -> None:
    assert not came(text).unread


def test_a_text_that_is_no_json_after_all_is_not_relied_on() -> None:
    broken = TEXT[:-1]
    assert came(broken).checked_text() == ""
    item = came(broken)
    assert item.payload == {"value": broken}
    assert item.text == ""
    assert came(TEXT).checked_text() == TEXT


@each(
    "read",
    [
        lambda item: item["payload"],
        lambda item: dict(item)["payload"],
        lambda item: replace(item, name="n").payload,
        lambda item: copy.copy(item).payload,
        lambda item: pickle.loads(pickle.dumps(item)).payload,
        lambda item: json.loads(workitem_message(item).payload),
    ],
)
def test_every_way_to_it_finds_it(read) -> None:
    assert read(came(TEXT)) == LONG


def test_it_equals_one_that_was_read() -> None:
    known = Workitem(id="1", payload=LONG, priority=0)
    assert came(TEXT) == known
    assert repr(came(TEXT)) == repr(known)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        came(TEXT).paylod  # noqa: B018
