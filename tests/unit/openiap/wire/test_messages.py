"""Work items survive the way to the wire and back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from worker.openiap.wire import messages
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.workitem import Workitem, WorkitemFile, WorkItemQueue


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)))
def test_a_nextrun_is_never_early_and_never_in_whole_seconds(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    stamp = messages.timestamp(moment)
    assert stamp.seconds
    assert stamp.nanos
    # The server keeps milliseconds and cuts off the rest.
    kept = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        seconds=stamp.seconds, milliseconds=stamp.nanos // 1_000_000
    )
    assert timedelta(0) <= kept - moment < timedelta(milliseconds=1)


def test_a_whole_second_gets_one_microsecond() -> None:
    stamp = messages.timestamp(datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC))
    assert stamp.nanos == 1000


def test_a_zone_is_honoured_and_a_missing_one_is_utc() -> None:
    east = datetime(2026, 11, 20, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    assert messages.timestamp(east) == messages.timestamp(datetime(2026, 11, 20, 10, 0))


def test_a_moment_beyond_python_is_none() -> None:
    assert messages.moment(Timestamp(seconds=2**55)) is None


def test_an_item_comes_back_as_it_went() -> None:
    item = Workitem(
        id="1",
        name="Ångström",
        payload={"a": [1, {"b": "ü"}]},
        priority=3,
        nextrun=datetime(2026, 11, 20, 10, 0, 0, 5000, tzinfo=UTC),
        state="retry",
        wiq="q",
        wiqid="2",
        retries=1,
        username="me",
        success_wiqid="3",
        failed_wiqid="4",
        success_wiq="s",
        failed_wiq="f",
        errormessage="m",
        errorsource="line 1\nline 2",
        errortype="application",
    )
    assert messages.workitem(messages.workitem_message(item)) == item


def test_files_travel_beside_the_item() -> None:
    item = Workitem(files=[WorkitemFile("a.txt", "1")])
    assert not messages.workitem_message(item).files
    found = pb.Workitem(files=messages.file_messages(item.files))
    assert messages.workitem(found).files == item.files


def test_no_payload_keeps_the_stored_one() -> None:
    assert messages.workitem_message(Workitem(payload=None)).payload == "null"


def test_a_lone_surrogate_does_not_stop_an_item() -> None:
    item = Workitem(name="bad \udc80 name", payload={"text": "bad \ud800 text"})
    message = messages.workitem_message(item)
    assert messages.workitem(message).payload == {"text": "bad \ud800 text"}
    assert message.name == "bad \\udc80 name"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("[1]", {"value": [1]}),
        ("not json", {"value": "not json"}),
        ("[" * 100_000, {"value": "[" * 100_000}),
        ('{"a": 1}', {"a": 1}),
    ],
)
def test_an_odd_payload_does_not_lose_the_item(text: str, expected: object) -> None:
    assert messages.workitem(pb.Workitem(payload=text)).payload == expected


def test_a_payload_without_a_json_form_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="JSON"):
        messages.workitem_message(Workitem(payload={"x": float("nan")}))
    with pytest.raises(TypeError, match="object has no JSON form"):
        messages.workitem_message(Workitem(payload={"x": object()}))


def test_a_queue_comes_back_as_it_went() -> None:
    queue = WorkItemQueue(
        name="q", id="1", maxretries=5, retrydelay=6, initialdelay=7, amqpqueue="m", packageid="p"
    )
    assert messages.queue(messages.queue_message(queue)) == queue
    queue.acl = [{"_id": "5a1702fa245d9013697656fb", "deny": False, "rights": 65535}]
    assert messages.queue(messages.queue_message(queue)) == queue
    assert (
        messages.queue(messages.queue_message(replace(queue, success_wiq="s"))).success_wiq == "s"
    )
