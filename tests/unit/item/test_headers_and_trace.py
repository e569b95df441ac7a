"""Headers and traces: what a push may say, what is believed of an item, and what is passed on."""

import pytest

from tests.cases import each
from worker import Item, context, handler
from worker.app.schedule import schedule
from worker.errors import HandlerError
from worker.item.headers import LARGEST, LONGEST, MOST, headers_of, stored_headers
from worker.item.metadata import KEY, Metadata, after_success, joined, taken_out
from worker.item.push import PushOptions
from worker.item.trace import Trace, trace_of
from worker.testing.worker_test import WorkerTest

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LATER = f"{PARENT.replace('00', 'cc', 1)}-what-comes"


@each(
    "given",
    [
        "k=v",
        {"k": 1},
        {1: "v"},
        {"": "v"},
        {"a b": "v"},
        {"k" * 101: "v"},
        {"k": "v" * (LONGEST + 1)},
        {"k": "\0"},
        {"k": "\ud800"},
        {f"k{n}": "v" for n in range(MOST + 1)},
        {f"k{n}": "v" * LONGEST for n in range(LARGEST // LONGEST + 1)},
    ],
)
def test_headers_that_cannot_be_kept_are_refused_with_one_sentence(given) -> None:
    with pytest.raises(ValueError, match=r"^headers.*; allowed: up to 32 texts"):
        PushOptions(headers=given).push("q", {})


def test_headers_are_kept_beside_the_payload_and_taken_out_again() -> None:
    push = PushOptions(headers={"order": "4711", "Ünicode"[1:]: "ü\n"}).push("q", {"n": 1})
    payload, metadata = taken_out(push.payload)
    assert payload == {"n": 1}
    assert metadata.headers == {"order": "4711", "nicode": "ü\n"}
    assert metadata.trace is None


@each(
    "found", [None, 1, "text", ["a"], {"k": 1}, {"k": None}, {"bad name": "v"}, {"k": "v" * 2_000}]
)
def test_odd_headers_of_others_count_as_none(found) -> None:
    assert stored_headers(found) == {}
    assert taken_out({KEY: {"headers": found}})[1].headers == {}


def test_of_too_many_headers_of_others_as_many_are_read_as_may_be() -> None:
    assert len(stored_headers({f"k{n}": "v" for n in range(1_000)})) == MOST
    assert len(stored_headers({f"k{n}": "v" * LONGEST for n in range(30)})) == 8


@pytest.mark.parametrize("text", [PARENT, LATER])
def test_a_trace_is_read_as_it_stands(text: str) -> None:
    found = trace_of(text, "a=1,b=2")
    assert found == Trace(text, "a=1,b=2")
    assert found.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert found.span_id == "b7ad6b7169203331"
    assert found.sampled


@each(
    "text",
    [
        None,
        7,
        "",
        PARENT.upper(),
        f"{PARENT}-more",
        f"{PARENT}\n",
        PARENT.replace("00", "ff", 1),
        PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        PARENT.replace("b7ad6b7169203331", "0" * 16),
        PARENT[:-1],
        LATER + "x" * 200,
    ],
)
def test_what_is_no_trace_counts_as_none(text: object) -> None:
    assert trace_of(text) is None
    assert taken_out({KEY: {"traceparent": text}})[1].trace is None
    assert headers_of({"traceparent": text}) == ({}, None)


@pytest.mark.parametrize("state", [None, 7, "ü=1", "a=1\n", "a" * 513])
def test_a_state_that_is_none_leaves_the_trace(state: object) -> None:
    assert trace_of(PARENT, state) == Trace(PARENT)


def test_a_trace_may_be_given_among_the_headers_of_a_request() -> None:
    given = {"Traceparent": PARENT, "TraceState": "a=1", "order": "1"}
    metadata = taken_out(PushOptions(headers=given).push("q", {}).payload)[1]
    assert metadata.headers == {"order": "1"}
    assert metadata.trace == Trace(PARENT, "a=1")


def test_metadata_comes_back_as_it_was_kept() -> None:
    kept = Metadata(headers={"k": "v"}, trace=Trace(PARENT, "a=1"), due=12.5)
    assert taken_out(joined({}, kept))[1] == kept


@pytest.mark.parametrize("due", [True, "1", float("nan"), float("inf"), [], {}])
def test_an_odd_moment_counts_as_none(due: object) -> None:
    assert taken_out({KEY: {"due": due}})[1].due is None


def test_a_chain_goes_on_with_the_headers_and_from_the_last_place() -> None:
    kept = Metadata(checkpoint=1, headers={"k": "v"}, trace=Trace(PARENT), due=1.0)
    place = Trace(PARENT.replace("b7ad6b7169203331", "1" * 16))
    assert after_success({}, kept, place)[KEY] == {
        "headers": {"k": "v"},
        "traceparent": place.traceparent,
    }
    assert after_success({}, kept)[KEY]["traceparent"] == PARENT


async def test_what_an_item_pushes_has_its_headers_unless_it_says_otherwise(
    worker_test: WorkerTest,
) -> None:
    seen = []

    @handler("q")
    async def work(payload: dict, item: Item) -> None:
        seen.append((dict(item.headers), dict(context.headers()), context.traceparent()))
        with pytest.raises(TypeError):
            item.headers["k"] = "v"  # type: ignore[index]
        await item.push("a", {})
        await item.push("b", {}, headers={})
        await item.push("c", {}, headers={**item.headers, "more": "1"})
        await work.push({})

    given = {"order": "4711", "traceparent": PARENT}
    done = await worker_test(work, {}, headers=given)
    headers = {"order": "4711"}
    assert seen == [(headers, headers, PARENT)]
    assert {push.queue: push.headers for push in done.pushes} == {
        "q": headers,
        "a": headers,
        "b": {},
        "c": {"order": "4711", "more": "1"},
    }


async def test_a_model_and_a_dict_never_see_headers(worker_test: WorkerTest) -> None:
    @handler("q")
    async def work(payload: dict) -> dict:
        return {"saw": sorted(payload)}

    done = await worker_test(work, {"n": 1}, headers={"order": "4711"})
    assert done.payload == {"n": 1, "saw": ["n"]}


def test_a_schedule_says_at_once_which_headers_are_not_allowed() -> None:
    with pytest.raises(HandlerError, match="schedule work: headers: the name 'a b'"):

        @schedule("* * * * *", headers={"a b": "v"})
        @handler("q")
        async def work(payload: dict) -> None:
            return None
