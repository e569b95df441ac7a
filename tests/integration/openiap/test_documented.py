"""Calls as OpenIAP documents them: spellings, shapes and defaults, over both clients."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.openiap.conftest import Door
from worker.openiap.errors import (
    AccessDenied,
    DuplicateKey,
    FileTransferError,
    ItemNotFound,
    OpenIAPError,
    QueueNotFound,
    RateLimited,
)
from worker.openiap.types import ClientEvent, QueueEvent, WatchEvent
from worker.openiap.workitem import Workitem

SECONDS = 60
TWICE = ["official-ws", "native-ws"]
EACH_CLIENT = pytest.mark.parametrize("idle_door", TWICE, indirect=True)


async def heard(got: "asyncio.Queue[Any]") -> Any:
    async with asyncio.timeout(SECONDS):
        return await got.get()


async def test_messages_by_the_documented_names(door: Door) -> None:
    got: asyncio.Queue[tuple[QueueEvent, int]] = asyncio.Queue()

    def told(event: QueueEvent, event_counter: int) -> None:
        got.put_nowait((event, event_counter))

    assert await door.client.register_queue(queuename="one", callback=told) == "one"
    assert await door.client.register_queue(queue_name="two", callback=told) == "two"
    exchanged = await door.client.register_exchange(
        exchangename="news", algorithm="fanout", routingkey="", addqueue=True, callback=told
    )
    await door.client.queue_message({"n": 1}, queuename="one")
    event, number = await heard(got)
    assert (event.get("queuename"), event["data"], number) == ("one", {"n": 1}, 1)
    assert dict(event) == {
        "queuename": "one",
        "correlation_id": event.correlation_id,
        "replyto": event.replyto,
        "routingkey": event.routingkey,
        "exchangename": event.exchangename,
        "data": {"n": 1},
    }
    await door.client.queue_message({"n": 2}, "one")
    assert (await heard(got))[1] == 2
    await door.client.queue_message(data={"n": 3}, exchangename="news")
    event, number = await heard(got)
    assert (event.queuename, event.get("data"), number) == (exchanged, {"n": 3}, 1)
    await door.client.unregister_queue(queuename="one")
    await door.client.unregister_queue(queue_name="two")


@EACH_CLIENT
async def test_an_rpc_by_the_documented_names(door: Door) -> None:
    await door.client.register_queue("service", lambda event: {"twice": event["data"]["n"] * 2})
    assert await door.client.rpc({"n": 2}, queuename="service", timeout=SECONDS) == {"twice": 4}


@pytest.mark.parametrize("number", [1, 2])
async def test_a_watch_tells_the_event_and_where_it_is_wanted_its_number(
    door: Door, number: int
) -> None:
    got: asyncio.Queue[Any] = asyncio.Queue()

    async def both(event: WatchEvent, event_counter: int) -> None:
        await got.put((event, event_counter))

    async def one(event: WatchEvent) -> None:
        await got.put((event, 1))

    watchid = await door.client.watch("things", paths="$", callback=both if number == 2 else one)
    await door.client.insert_one("things", {"n": 1})
    event, count = await heard(got)
    assert event["operation"] == "insert"
    assert event.get("document")["n"] == 1
    assert (event["id"], event.get("nothing"), count) == (watchid, None, 1)


@EACH_CLIENT
async def test_a_callback_that_takes_no_event_is_refused_before_anything_is_sent(
    door: Door,
) -> None:
    def none() -> None: ...

    def three(a: object, b: object, c: object) -> None: ...

    for bad in (none, three):
        with pytest.raises(TypeError, match=r"takes neither \(event\) nor \(event, event_counter"):
            await door.client.register_queue("one", bad)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="takes neither"):
            await door.client.watch("things", [], bad)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="takes neither"):
            door.client.on_client_event(bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no callback"):
        await door.client.register_queue("one")


async def test_a_callback_that_comes_after_connect_hears_of_the_present_link(door: Door) -> None:
    told: list[str] = []
    numbers: list[int] = []

    def counts(event: ClientEvent, event_counter: int) -> None:
        numbers.append(event_counter)

    async def hears(event: ClientEvent) -> None:
        told.append(event.get("event", ""))

    door.client.on_client_event(hears)
    door.client.on_client_event(counts)
    gone = door.client.on_client_event(lambda event: told.append("gone"))
    door.client.off_client_event(gone)
    async with asyncio.timeout(SECONDS):
        while len(told) < 2:
            await asyncio.sleep(0.01)
    assert told == ["Connected", "SignedIn"]
    assert numbers == [1, 2]
    await door.client.disconnect()
    late: list[ClientEvent] = []
    door.client.on_client_event(late.append)
    await asyncio.sleep(0)
    assert late == []


async def test_a_dict_with_an_id_and_a_state_changes_just_that(door: Door) -> None:
    await door.queue("q", maxretries=3)
    pushed = await door.client.push_workitem(
        wiq="q", name="a name", payload={"n": 1}, priority=1, nextrun=0
    )
    await door.client.pop_workitem(wiq="q", wiqid="")
    updated = await door.client.update_workitem(
        workitem={"_id": pushed.id, "state": "successful"}, ignoremaxretries=False
    )
    assert (updated.state, updated.priority) == ("successful", 1)
    (stored,) = await door.client.query("workitems", {"_id": pushed.id})
    assert (stored["state"], stored["priority"]) == ("successful", 1)
    assert (stored["name"], stored["payload"]) == ("a name", {"n": 1})
    # What a query gives can be given back.
    again = await door.client.update_workitem(stored | {"payload": '{"n": 2}', "state": "failed"})
    assert (again.payload, again.priority, again.name) == ({"n": 2}, 1, "a name")


@EACH_CLIENT
async def test_a_dict_that_is_no_work_item_is_refused_with_a_sentence(door: Door) -> None:
    for bad, kind, text in (
        ({"state": "successful"}, ValueError, "it has no _id"),
        ({"_id": "1", "state": 5}, TypeError, "state = 5 is no text"),
        ({"_id": "1", "priority": "high"}, TypeError, "priority = 'high' is no whole number"),
        ({"_id": "1", "payload": "{"}, ValueError, "payload is no JSON"),
        ({"_id": "1", "payload": [1]}, TypeError, "payload is a list; allowed: a JSON object"),
        ({"_id": "1", "files": "a.pdf"}, TypeError, "files = 'a.pdf' is no list"),
    ):
        with pytest.raises(kind, match=text):
            await door.client.update_workitem(bad)
    with pytest.raises(TypeError, match="no Workitem and no dict"):
        await door.client.update_workitem("1")  # type: ignore[arg-type]


async def test_nextrun_may_be_seconds_and_zero_is_none(door: Door) -> None:
    await door.queue("q")
    at = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
    later = await door.client.push_workitem("q", {}, nextrun=int(at.timestamp()))
    assert later.nextrun == at
    await door.client.push_workitem("q", {"now": True}, nextrun=0)
    popped = await door.client.pop_workitem("q")
    assert popped is not None
    assert popped.payload == {"now": True}
    with pytest.raises(TypeError, match="nextrun: 'soon' is a str; allowed"):
        await door.client.push_workitem("q", {}, nextrun="soon")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="priority: 'high' is none; allowed: a whole number"):
        await door.client.push_workitem("q", {}, priority="high")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nextrun: 1e\\+300 is no time; allowed"):
        await door.client.push_workitem("q", {}, nextrun=1e300)


@EACH_CLIENT
async def test_files_go_to_the_folder_one_is_in_and_to_the_collection_of_files(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.txt"
    source.write_text("text")
    id = await door.client.upload(
        filepath=str(source),
        filename="a.txt",
        mimetype="text/plain",
        metadata={},
        collectionname="",
    )
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    path = await door.client.download(collectionname="", id=id)
    assert path.resolve() == (there / "a.txt").resolve()
    assert path.read_text() == "text"


@EACH_CLIENT
async def test_indexes_sizes_and_gauges_by_the_documented_names(door: Door) -> None:
    await door.client.insert_one(collectionname="things", item={"n": 1})
    await door.client.create_index(collectionname="things", index={"n": 1}, options={}, name="by_n")
    await door.client.drop_index(collectionname="things", indexname="by_n")
    names = [index["name"] for index in await door.client.get_indexes(collectionname="things")]
    assert "by_n" not in names
    assert door.client.format_bytes(bytes_value=1536) == "1.5 KB"
    assert door.client.format_bytes(bytes=1536) == "1.5 KB"
    door.client.set_f64_observable_gauge("documented_f64", 1.5)
    door.client.set_u64_observable_gauge("documented_u64", 1)
    door.client.set_i64_observable_gauge("documented_i64", -1)
    door.client.disable_observable_gauge("documented_f64")


@EACH_CLIENT
async def test_documents_by_the_documented_names_and_defaults(door: Door) -> None:
    stored = await door.client.insert_many(
        collectionname="things", items=[{"n": n} for n in range(120)]
    )
    assert len(stored) == 120
    assert len(await door.client.query(collectionname="things")) == 100
    found = await door.client.query(
        collectionname="things",
        query={"n": {"$lt": 3}},
        projection={"n": 1},
        orderby={"n": -1},
        queryas="",
        explain=False,
        skip=1,
        top=1,
    )
    assert [one["n"] for one in found] == [1]
    again = await door.client.insert_or_update_one("things", item=stored[0] | {"n": 500})
    assert again["_id"] == stored[0]["_id"]
    assert await door.client.count(collectionname="things", query={"n": 500}) == 1
    assert await door.client.delete_many(collectionname="things", query={"n": 500}) == 1


@EACH_CLIENT
async def test_a_query_can_be_explained(door: Door) -> None:
    await door.client.insert_one("things", {"n": 1})
    for found in (
        await door.client.query("things", {"n": 1}, explain=True),
        await door.client.aggregate("things", [{"$match": {"n": 1}}], explain=True),
    ):
        (plan,) = found
        assert plan["queryPlanner"]["winningPlan"]["stage"]
        assert plan["ok"] == 1
    assert await door.client.count("things", {"n": 1}, explain=True) >= 1


@EACH_CLIENT
async def test_stringify_says_where_something_has_no_json_form(door: Door) -> None:
    assert door.client.stringify({"at": datetime(2026, 1, 2, tzinfo=UTC)}) == (
        '{"at":"2026-01-02T00:00:00.000Z"}'
    )
    with pytest.raises(TypeError, match=r"^order\.lines\[2\]\.price: a complex has no JSON form"):
        door.client.stringify({"order": {"lines": [1, {"a": 1}, {"ok": 1, "price": 1j}]}})
    with pytest.raises(ValueError, match=r"^\[1\]\.x: "):
        door.client.stringify([0, {"x": float("nan")}])
    with pytest.raises(TypeError, match=r"^an object has no JSON form"):
        door.client.stringify(object())
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with pytest.raises(ValueError, match=r"^self\."):
        door.client.stringify(loop)


async def test_the_same_mistake_is_the_same_error_over_every_client(door: Door) -> None:
    await door.client.insert_one("things", {"_id": "1"})
    client = door.client
    mistakes: list[tuple[Any, type[Exception], str]] = [
        (client.pop_workitem("unknown"), QueueNotFound, "QUEUE_NOT_FOUND"),
        (client.push_workitem("unknown", {}), QueueNotFound, "QUEUE_NOT_FOUND"),
        (client.update_workitem(Workitem(id="1")), ItemNotFound, "ITEM_NOT_FOUND"),
        (client.insert_one("things", {"_id": "1"}), DuplicateKey, "DUPLICATE_KEY"),
        (client.signin("tester", "wrong"), AccessDenied, "ACCESS_DENIED"),
        (client.download("unknown", "."), FileTransferError, "FILE_TRANSFER_ERROR"),
        (client.upload("/no/such/file"), FileTransferError, "FILE_TRANSFER_ERROR"),
    ]
    for call, kind, code in mistakes:
        with pytest.raises(OpenIAPError) as caught:
            await call
        assert type(caught.value) is kind or issubclass(type(caught.value), kind)
        assert caught.value.code == code
        assert caught.value.details["text"] == caught.value.text
        assert caught.value.details["operation"]
    for bad in (
        lambda: client.insert_one("things", {"n": object()}),
        lambda: client.query("things", {"n": object()}),
        lambda: client.push_workitem("q", {"n": object()}),
        lambda: client.queue_message({"n": object()}, "one"),
    ):
        with pytest.raises(TypeError, match="an object has no JSON form"):
            await bad()


def test_a_rate_limit_says_when_to_come_again() -> None:
    error = RateLimited("Rate limit exceeded consumedPoints: 31", operation="query")
    assert error.code == "RATE_LIMITED"
    assert error.retry_after == 1.0
    assert error.details == {
        "code": "RATE_LIMITED",
        "text": error.text,
        "operation": "query",
        "item_id": "",
        "maybe_done": False,
        "points": 31,
        "retry_after": 1.0,
    }
