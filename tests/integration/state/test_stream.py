"""Events of a room: offsets without gaps, published once, none lost or doubled by a subscriber."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.state.conftest import PASSWORD, USER, MakeClient
from worker import State
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions
from worker.state.events import COLLECTION, StreamEvent, room_of
from worker.state.stream import AT_LEAST, LATE, Stream
from worker.testing.reserved_ports import reserved_ports


class Seen:
    """What a subscriber was handed."""

    def __init__(self) -> None:
        self.events: list[StreamEvent] = []
        self._more = asyncio.Event()

    def __call__(self, event: StreamEvent) -> None:
        self.events.append(event)
        self._more.set()

    @property
    def offsets(self) -> list[int]:
        return [event.offset for event in self.events]

    async def until(self, number: int, within: float = 60) -> list[int]:
        async with asyncio.timeout(within):
            while len(self.events) < number:
                self._more.clear()
                await self._more.wait()
        return self.offsets


async def test_events_come_back_as_they_were_published(state: State) -> None:
    stream = state.stream("orders")
    data = {"a.b": [1.0, 2**60, None], "at": "2026-11-20T10:00:00Z"}
    first = await stream.publish("paid", data, metadata={"by": "Ada"})
    second = await stream.publish("sent")
    assert (first.offset, second.offset) == (1, 2)
    assert first.id != second.id
    found = await stream.history()
    assert found.events == (first, second)
    assert (found.oldest, found.newest) == (1, 2)
    assert (first.type, first.data, first.metadata) == ("paid", data, {"by": "Ada"})
    assert (first.room, first.time is not None) == ("orders", True)
    assert (await state.stream("other").history()).events == ()


async def test_history_is_read_from_either_end(state: State) -> None:
    stream = state.stream("n")
    for number in range(1, 8):
        assert (await stream.publish("n", number)).offset == number

    async def read(*arguments: int) -> list[Any]:
        return [event.data for event in (await stream.history(*arguments)).events]

    assert await read(0) == list(range(1, 8))
    assert await read(-2) == [6, 7]
    assert await read(3, 5) == [3, 4, 5]
    assert await read(3, 5, 2) == [3, 4]
    assert await read(9) == []
    assert await read(-100, 2) == [1, 2]


async def test_a_subscriber_gets_what_was_and_what_comes(state: State) -> None:
    stream, seen, new = state.stream("n"), Seen(), Seen()
    for number in range(1, 5):
        await stream.publish("n", number)
    last_two = await stream.subscribe(seen, from_offset=-2)
    only_new = await state.stream("n").subscribe(new, replay=False)
    assert await seen.until(2) == [3, 4]
    await stream.publish("n", 5)
    assert await seen.until(3) == [3, 4, 5]
    assert await new.until(1) == [5]
    assert (last_two.room, last_two.offset, last_two.missed) == ("n", 5, 0)
    await last_two.unsubscribe()
    await last_two.unsubscribe()
    await stream.publish("n", 6)
    assert await new.until(2) == [5, 6]
    assert seen.offsets == [3, 4, 5]
    await only_new.unsubscribe()


async def test_live_events_come_by_the_watch_and_need_no_query(
    client: Client, make: MakeClient
) -> None:
    stream, seen = State(client).stream("n"), Seen()
    subscription = await State(await make()).stream("n").subscribe(seen)
    first = await stream.publish("n")
    await seen.until(1)
    subscription._read = None  # type: ignore[assignment]
    for number in range(2, 12):
        await stream.publish("n", number)
    assert await seen.until(11) == list(range(first.offset, 12))
    await subscription.unsubscribe()


async def test_several_publishers_leave_no_gap(make: MakeClient) -> None:
    streams = [State(await make()).stream("n") for _ in "abc"]
    streams.append(State(await make("native")).stream("n"))

    async def publish(stream: Stream) -> list[int]:
        return [(await stream.publish("n")).offset for _ in range(12)]

    offsets = await asyncio.gather(*(publish(stream) for stream in streams))
    assert sorted(offset for own in offsets for offset in own) == list(range(1, 49))
    for own in offsets:
        assert own == sorted(own)


async def test_lost_answers_publish_nothing_twice(make: MakeClient, server: LocalServer) -> None:
    one = State(await make(timeout=0.5)).stream("n")
    other = State(await make("native")).stream("n")
    for number in range(1, 8, 2):
        server.faults.lose_replies["insertone"] = 1
        assert (await one.publish("n", number)).offset == number
        assert (await other.publish("n", number + 1)).offset == number + 1
    found = await one.history()
    assert [event.data for event in found.events] == list(range(1, 9))


@pytest.mark.dear
async def test_nothing_is_lost_or_doubled_across_cuts_and_restarts(
    tmp_path: Path, kind: str, make: MakeClient
) -> None:
    options = ServerOptions(data=tmp_path / "data.sqlite", users={USER: PASSWORD})
    seen, other = Seen(), Seen()
    async with LocalServer(options) as first:
        options.port = first.port
        publisher, reader = [await make(url=first.ws_url) for _ in "ab"]
        stream = State(publisher).stream("n")
        await State(reader).stream("n").subscribe(seen)
        await State(publisher).stream("n").subscribe(other, from_offset=0)
        publishing = asyncio.create_task(_publish(stream, 60))
        for number in (10, 20):
            await seen.until(number)
            await first.drop_connections()
        await seen.until(30)
    with reserved_ports(options.host, options.port):
        await asyncio.sleep(0)
        async with LocalServer(options), asyncio.timeout(100):
            await publishing
            assert await seen.until(60) == list(range(1, 61))
            assert await other.until(60) == list(range(1, 61))
            assert len({event.id for event in seen.events}) == 60
            assert [event.data for event in seen.events] == list(range(60))


async def _publish(stream: Stream, number: int) -> None:
    for n in range(number):
        await stream.publish("n", n)


async def test_a_callback_that_raises_costs_its_own_event(state: State) -> None:
    stream, told = state.stream("n"), []
    seen = Seen()

    async def callback(event: StreamEvent) -> None:
        if event.offset == 2:
            raise LookupError("two")
        seen(event)

    subscription = await stream.subscribe(
        callback, on_error=lambda event, error: told.append((event and event.offset, str(error)))
    )
    await _publish(stream, 3)
    assert await seen.until(2) == [1, 3]
    assert told == [(2, "two")]
    await subscription.unsubscribe()


async def test_a_callback_may_end_its_own_subscription(state: State) -> None:
    stream, seen = state.stream("n"), Seen()
    await _publish(stream, 3)

    async def callback(event: StreamEvent) -> None:
        seen(event)
        await subscription.unsubscribe()

    subscription = await stream.subscribe(callback)
    await seen.until(1)
    await stream.publish("n")
    assert subscription._task is not None
    await asyncio.wait({subscription._task})
    assert seen.offsets == [1]


async def test_what_is_over_a_limit_goes_but_the_last_hour_stays(make: MakeClient) -> None:
    clock = [1_800_000_000.0]
    options = ServerOptions(users={USER: PASSWORD}, clock=lambda: clock[0])
    async with LocalServer(options) as server:
        client = await make(url=server.ws_url)

        def stream(**limits: Any) -> Stream:
            return State(client).stream("n", **limits)  # asks the server's clock anew

        await _publish(stream(keep_count=20), 100)
        assert (await stream().history()).oldest == 1, "they are young"
        clock[0] += AT_LEAST + 1
        await _publish(stream(keep_count=20), 100)
        assert (await stream().history()).oldest == 101, "those of the last hour stay"
        clock[0] += 86_400
        await _publish(stream(keep_for="2h"), 100)
        found = await stream().history(0)
        assert (found.oldest, found.newest, found.events[0].offset) == (201, 300, 201)
        seen = Seen()
        subscription = await stream().subscribe(seen, from_offset=199)
        assert (await seen.until(100))[0] == 201
        assert subscription.missed == 2


async def test_a_frozen_publisher_takes_no_offset_that_is_long_gone(
    client: Client, make: MakeClient
) -> None:
    """It froze with the message on its way; others published, and what they did was taken away."""
    now = [0.0]
    frozen = _stream_with(client, lambda: now[0])
    await frozen.publish("n", "first")
    others = State(await make()).stream("n")
    await _publish(others, 5)
    await client.delete_many(COLLECTION, {"_id": {"$lt": room_of("", "n").id(5)}})
    newest = (await others.history(0)).events[-1].time
    while newest is not None and datetime.now(UTC) - newest < timedelta(milliseconds=2):
        await asyncio.sleep(0.001)  # the server stamps milliseconds, and the late one comes later
    insert = client.insert_one

    async def late(*args: Any, **kwargs: Any) -> Any:
        stored = await insert(*args, **kwargs)
        now[0] += LATE + 1 if now[0] == 0 else 0
        return stored

    client.insert_one = late  # type: ignore[method-assign]
    assert (await frozen.publish("n", "late")).offset == 7
    found = await others.history(0)
    assert [event.offset for event in found.events] == [5, 6, 7]


def _stream_with(client: Client, clock: Callable[[], float]) -> Stream:
    stream = State(client).stream("n")
    stream._clock = clock
    return stream


async def test_documents_that_are_no_events_hurt_only_themselves(client: Client) -> None:
    state = State(client)
    stream, room = state.stream("n"), room_of("", "n")
    await stream.publish("n", 1)
    odd: list[dict[str, Any]] = [
        {"token": "x", "type": "n", "data": "[" * 5000, "metadata": "{}"},
        {"token": "x", "type": "n", "data": "1", "metadata": "[]"},
        {"token": ["x"], "type": 5, "data": {"a": 1}},
    ]
    for number, document in enumerate(odd, 2):
        document = {"key": room.key, **document}
        await client.insert_one(COLLECTION, {"_id": room.id(number), **document})
    junk = [{"_id": f"{room.id(4)[:-1]}{n:03}x", "key": room.key} for n in range(130)]
    await client.insert_many(COLLECTION, junk)
    assert (await state.stream("n").publish("n", 2)).offset == 5
    seen = Seen()
    subscription = await state.stream("n").subscribe(seen, from_offset=0)
    assert await seen.until(2) == [1, 5]
    assert subscription.missed == 3
    found = await state.stream("n").history(0)
    assert ([event.data for event in found.events], found.newest) == ([1, 2], 5)
    await client.delete_one(COLLECTION, room.id(5))
    await client.insert_one(COLLECTION, {"_id": room.id(8), "key": room.key})
    await State(client).stream("n").publish("n", 3)
    assert await seen.until(3) == [1, 5, 9]
    await subscription.unsubscribe()


async def test_another_user_s_room_is_refused_with_a_sentence(
    client: Client, server: LocalServer
) -> None:
    options = ConnectionOptions(url=server.ws_url, username="plain", password=PASSWORD)
    other = NativeClient(options)
    await other.connect(timeout=60)
    await State(client).stream("n").publish("n")
    with pytest.raises(AccessDenied, match="has an event 1, but this user may not read it"):
        await State(other).stream("n").publish("n")
    assert len(await client.query(COLLECTION, {})) == 1
    await other.disconnect()


async def test_what_is_not_allowed_is_refused(state: State) -> None:
    with pytest.raises(ValueError, match="keep_for = '5m' is too short; allowed: at least 1h"):
        state.stream("n", keep_for="5m")
    with pytest.raises(ValueError, match="keep_count = 0; allowed: 1 and more, or None"):
        state.stream("n", keep_count=0)
    with pytest.raises(ValueError, match='stream: "" is empty'):
        state.stream("")
    stream = state.stream("n")
    with pytest.raises(ValueError, match="bytes of JSON; allowed: at most 32,768"):
        await stream.publish("n", "x" * 33_000)
    with pytest.raises(ValueError, match='event type: "" is empty'):
        await stream.publish("")
    with pytest.raises(TypeError, match="allowed: a dict, or None"):
        await stream.publish("n", metadata=[1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit = 0; allowed: 1 to 1,000"):
        await stream.history(limit=0)
    with pytest.raises(ValueError, match=r"publish: a: .*allowed: what has a JSON form"):
        await stream.publish("n", {"a": float("inf")})
    for offset in ("1", 1.5, None, True):
        with pytest.raises(TypeError, match=r"from_offset = .*; allowed: a whole number"):
            await stream.subscribe(print, from_offset=offset)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="subscribe: 'x'; allowed: a function that takes the event"):
        await state.stream("r").subscribe("x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"from_offset = 10.*; allowed: up to 9"):
        await stream.history(from_offset=10**30)
