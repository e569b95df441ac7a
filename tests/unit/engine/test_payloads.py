"""A payload is read from its text where that gives the same, and else from its values."""

import json
import threading
from datetime import date, datetime
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tests.cases import each
from worker.app.signature import Signature
from worker.engine import payloads
from worker.item.metadata import KEY
from worker.item.type_form import form_of
from worker.openiap.large import LARGE
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.messages import workitem
from worker.openiap.workitem import READ_LATER, Workitem


class Colour(Enum):
    RED = "red"


class Row(BaseModel):
    n: int
    text: str = ""


class Order(BaseModel):
    rows: list[Row]
    by_name: dict[str, float | None] = Field(default={}, alias="byName")
    when: datetime | None = None
    day: date | None = None
    colour: Colour = Colour.RED
    kind: Literal["a", "b"] = "a"
    id: UUID | None = None
    pair: tuple[int, str] = (1, "")
    parts: set[str] = set()


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    day: date


class Own(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def kept(cls, n: int) -> int:
        return n


class Union(BaseModel):
    n: int | str


def came(payload: Any) -> Workitem:
    return workitem(pb.Workitem(_id="1", payload=json.dumps(payload)))


def signature_of(kind: Any) -> Signature:
    return Signature((), form_of(kind), None)


@each(
    ("kind", "by_text"),
    [(Row, True), (Order, True), (Open, False), (Strict, False), (Own, False), (Union, False),
     (dict[str, Any], False), (list[dict], False)],  # type: ignore[type-arg]
)  # fmt: skip
def test_what_is_read_alike_from_text_is_known(kind: Any, by_text: bool) -> None:
    assert form_of(kind).by_text == by_text


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
FIELDS = {
    "rows": st.lists(st.fixed_dictionaries({"n": VALUES}, optional={"text": VALUES}), max_size=3),
    "byName": st.dictionaries(st.text(max_size=3), VALUES, max_size=2),
    "when": st.sampled_from(["2026-11-29T01:02:03Z", "2026-11-29", 1, 1.5, "no", True]),
    "day": st.sampled_from(["2026-11-29", 86400, "2026-11-29T00:00:00", 0.5, "x"]),
    "colour": st.sampled_from(["red", "blue", 1]),
    "kind": st.sampled_from(["a", "b", "c", 1]),
    "id": st.sampled_from(["5d1f7d2c-8a51-4bd7-8b9b-0f7e3a1c2d3e", "x", 1]),
    "pair": st.lists(VALUES, max_size=3),
    "parts": st.lists(VALUES, max_size=3),
}


@settings(max_examples=60)
@given(value=st.fixed_dictionaries({}, optional=FIELDS))
def test_the_text_gives_the_value_that_its_values_give(value: dict[str, Any]) -> None:
    form = form_of(Order)
    text = json.dumps(value)
    try:
        found = form.read(json.loads(text))
    except ValidationError:
        with pytest.raises(ValidationError):
            form.read_text(text)
    else:
        assert form.read_text(text) == found


async def test_what_is_read_from_text_is_never_made_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.openiap.workitem.payload_of", None)
    item = came({"n": 1, "text": "x" * LARGE})
    assert payloads.marks_of(item) is None
    found, refused = await payloads.payload_for(signature_of(Row), item, large=True, handler="work")
    assert (found, refused) == (Row(n=1, text="x" * LARGE), None)
    assert item.unread


@each("odd", ["text", "name"])
async def test_what_does_not_fit_its_text_is_told_of_by_its_values(odd: str) -> None:
    text = "x" * READ_LATER
    item = came({"n": "one", "text": text} if odd == "text" else {"rows": [], "by_name": {}})
    found, refused = await payloads.payload_for(
        signature_of(Row if odd == "text" else Order), item, large=False, handler="work"
    )
    if odd == "text":
        assert refused is not None
        assert refused.message.startswith("Payload of work is invalid: n: Input should be a valid")
    else:
        assert found == Order(rows=[])


@each("escaped", [False, True])
def test_marks_in_a_long_payload_are_seen(escaped: bool) -> None:
    text = json.dumps({"text": "x" * READ_LATER, KEY: {"id": "u-1"}})
    if escaped:
        text = text.replace(KEY, "\\u006f" + KEY[1:])
    item = workitem(pb.Workitem(_id="1", payload=text))
    assert item.unread
    assert payloads.marks_of(item) is not None
    assert set(item.payload or {}) == {"text"}
    assert item.text == ""


async def test_what_would_stop_the_loop_for_long_is_read_in_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []
    read = Signature.payload_for

    def noted(self: Signature, payload: Any, **more: Any) -> Any:
        threads.append(threading.get_ident())
        return read(self, payload, **more)

    monkeypatch.setattr(Signature, "payload_for", noted)
    item = came({"n": 1, "text": "x" * payloads.IN_ONE_GO})
    found, _ = await payloads.payload_for(signature_of(Row), item, large=True, handler="work")
    assert found.n == 1
    assert threads
    assert threading.get_ident() not in threads
