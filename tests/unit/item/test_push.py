"""Pushes as data: what may be said of one, and what is refused before anything is sent."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.cases import each
from worker import ContractError, context, handler
from worker.item.metadata import KEY
from worker.item.push import PushOptions, Target, pushes_to
from worker.item.unique import Unique


@handler("invoices", files=["*.pdf"])
async def book(payload: dict[str, int]) -> dict[str, int]:
    return payload


def test_a_handler_is_a_target_and_reads_its_own_results() -> None:
    assert isinstance(book, Target)
    (push,) = pushes_to(book, [{"n": 1}], {"files": ["a.pdf"], "priority": 1})
    assert (push.queue, push.payload, push.priority, push.files) == (
        "invoices",
        {"n": 1},
        1,
        ("a.pdf",),
    )
    assert book.reader()({"n": 1}) == {"n": 1}


def test_a_queue_by_name_takes_every_object() -> None:
    first, second = pushes_to("q", [{"n": 1}, {"at": datetime(2026, 1, 1, tzinfo=UTC)}], {})
    assert (first.queue, first.payload, first.priority, first.unique) == ("q", {"n": 1}, 2, None)
    assert list(second.payload) == ["at"]


def test_a_time_and_a_key_are_read() -> None:
    at = datetime(2026, 6, 1, tzinfo=timezone(timedelta(hours=2)))
    assert PushOptions(at=at).push("q", {}).nextrun == at
    due = PushOptions(delay="5m").push("q", {}).nextrun
    assert due is not None
    assert timedelta(minutes=4) < due - datetime.now(UTC) < timedelta(minutes=6)
    unique = PushOptions(unique="k", unique_for="1h", unique_update=True).push("q", {}).unique
    assert unique == Unique("k", 3600.0, True)


def test_a_namespace_is_inherited_and_one_in_the_payload_does_not_count() -> None:
    with context.in_namespace("acme"):
        assert PushOptions().push("q", {"n": 1}).payload == {"n": 1, KEY: {"namespace": "acme"}}
        assert PushOptions(namespace="").push("q", {"n": 1}).payload == {"n": 1}
    odd: Any = 5
    with pytest.raises(TypeError, match="namespace = 5; allowed"), context.in_namespace(odd):
        raise AssertionError("entered")
    assert PushOptions().push("q", {"n": 1, KEY: {"namespace": "x"}}).payload == {"n": 1}


@each(
    ("target", "payload", "options", "kind", "text"),
    [
        (7, {}, {}, TypeError, "7 is neither a handler nor a queue's name"),
        ("q", 5, {}, ContractError, "queue q is an int; allowed: a JSON object"),
        ("q", {"a": object()}, {}, ContractError, "queue q has no JSON form"),
        (book, {"n": "x"}, {"files": ["a.pdf"]}, ContractError, "does not fit .*book: n: "),
        (book, {"n": 1}, {}, ContractError, r"needs a file \*.pdf; the item has: none"),
        ("q", {}, {"prio": 1}, TypeError, "unexpected keyword argument 'prio'"),
        ("q", {}, {"delay": 1, "at": datetime.now(UTC)}, ValueError, "delay or at, not both"),
        ("q", {}, {"at": datetime(2026, 1, 1)}, ValueError, "has no time zone"),
        ("q", {}, {"unique_update": True}, ValueError, "unique_update needs unique"),
        ("q", {}, {"delay": "soon"}, ValueError, "push: delay: 'soon' is not a duration"),
        ("q", {}, {"priority": "1"}, TypeError, "priority = '1'; allowed: a whole number"),
        ("q", {}, {"namespace": 5}, TypeError, "namespace = 5; allowed: a text"),
    ],
)
def test_what_cannot_be_pushed_is_refused(
    target: Any, payload: Any, options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        pushes_to(target, [payload], options)
