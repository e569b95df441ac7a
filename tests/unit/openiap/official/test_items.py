"""Work items between Python and the official library's structures."""

import json
from ctypes import pointer
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.openiap.official import abi as abi
from worker.openiap.official.items import (
    attach_files,
    decoded_workitem,
    encoded_workitem,
    native_text,
    parsed_payload,
)
from worker.openiap.workitem import Workitem, WorkitemFile


def test_an_item_survives_the_way_there_and_back() -> None:
    item = Workitem(
        id="5f",
        name="Zoë",
        payload={"a": [1, None, "ü"]},
        priority=3,
        state="retry",
        wiq="q",
        wiqid="7",
        retries=2,
        username="me",
        success_wiqid="1",
        failed_wiqid="2",
        success_wiq="s",
        failed_wiq="f",
        errormessage="said\nno",
        errorsource="trace",
        errortype="application",
    )
    assert decoded_workitem(pointer(encoded_workitem(item))) == item


def test_no_time_ever_travels_in_an_update() -> None:
    moment = datetime(2026, 11, 20, 10, tzinfo=UTC)
    native = encoded_workitem(Workitem(id="5f", nextrun=moment, lastrun=moment))
    assert (native.nextrun, native.lastrun, native.files_len) == (0, 0, 0)


def test_a_payload_of_none_keeps_the_stored_one() -> None:
    assert encoded_workitem(Workitem(payload=None)).payload == b"null"


def test_times_are_whole_seconds_in_utc() -> None:
    native = abi.Workitem(lastrun=1_763_632_800, nextrun=0)
    item = decoded_workitem(pointer(native))
    assert item is not None
    assert item.lastrun == datetime(2025, 11, 20, 10, tzinfo=UTC)
    assert item.nextrun is None
    far = decoded_workitem(pointer(abi.Workitem(nextrun=2**63)))
    assert far is not None
    assert far.nextrun is None


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        (b'{"a":1}', {"a": 1}),
        (b"", {}),
        (b"[1]", {"value": [1]}),
        (b"null", {"value": None}),
        (b"no json", {"value": "no json"}),
        (b"\xff", {"value": "\ufffd"}),
        (b"[" * 100_000, {"value": "[" * 100_000}),
    ],
)
def test_an_odd_payload_never_costs_the_item(text: bytes, payload: object) -> None:
    assert parsed_payload(text) == payload


@given(st.text(st.characters(), max_size=50))
def test_any_text_in_json_comes_back(text: str) -> None:
    sent = native_text(json.dumps({"t": text}, ensure_ascii=False))
    assert b"\0" not in sent
    sent.decode("utf-8")
    assert json.loads(sent) == {"t": text}


def test_files_travel_beside_the_item() -> None:
    request = abi.UpdateRequest()
    attach_files(request, [WorkitemFile("a.txt", "1"), WorkitemFile("b.txt")])
    assert request.files_len == 2
    assert request.files[0][0].filename == b"a.txt"
    assert request.files[0][0].id == b"1"
    assert request.files[1][0].filename == b"b.txt"
    assert request.files[1][0].id == b""
