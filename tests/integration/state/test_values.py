"""Values are set, counted and forgotten once each, whoever asks at once and whatever is lost."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.state.conftest import PASSWORD, USER, MakeClient
from worker import State
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.errors import ServerError
from worker.state.cells import COLLECTION, cell_id

VALUES = [None, 0, -1.5, 2**60, "", "2026-11-20T10:00:00Z", {"a.b": {"$c": [1.0]}}, [[], {}]]


async def test_what_is_set_comes_back_as_it_was(state: State) -> None:
    for value in VALUES:
        assert await state.values.set("k", value)
        found = await state.values.get("k")
        assert (found.found, found.value, found.ttl) == (True, value, None)
        assert type(found.value) is type(value)
    assert not (await state.values.get("other")).found


async def test_of_all_that_set_where_there_is_none_one_does(make: MakeClient) -> None:
    states = [State(await make()), State(await make("native"))]
    for number in range(5):
        asked = [s.values.set(f"k{number}", n, nx=True) for n, s in enumerate(states * 3)]
        done = await asyncio.gather(*asked)
        assert done.count(True) == 1
        assert (await states[0].values.get(f"k{number}")).value == done.index(True)


async def test_set_where_there_is_one_and_deleting(state: State) -> None:
    values = state.values
    assert not await values.set("a", 1, xx=True)
    assert await values.set("a", 1)
    assert await values.set("a", 2, xx=True)
    assert not await values.set("a", 3, nx=True)
    await values.set("b", 1)
    assert await values.delete("a", "b", "c", "a") == 2
    assert await values.delete("a") == 0
    assert not (await values.get("a")).found
    assert await values.set("a", 3, nx=True)


async def test_each_deletion_is_counted_for_one(make: MakeClient) -> None:
    states = [State(await make()), State(await make("native"))]
    await states[0].values.set("k", 1)
    counts = await asyncio.gather(*(s.values.delete("k") for s in states * 3))
    assert sorted(counts) == [0, 0, 0, 0, 0, 1]


async def test_lost_answers_are_not_added_twice(make: MakeClient, server: LocalServer) -> None:
    values = State(await make(timeout=0.5)).values
    for expected in range(1, 4):
        server.faults.lose_replies["insertone"] = 1
        assert await values.incr("n") == expected
    server.faults.lose_replies["insertone"] = 1
    assert await values.decr("n", 10) == -7
    server.faults.lose_replies["insertone"] = 1
    assert await values.set("once", 1, nx=True), "it is this one that set it"
    server.faults.lose_replies["insertone"] = 1
    assert await values.delete("once") == 1


async def test_everybody_s_number_is_added_once(make: MakeClient) -> None:
    states = [State(await make()), State(await make("native"))]
    found = await asyncio.gather(*(s.values.incr("n", 2) for s in states * 5))
    assert sorted(found) == list(range(2, 22, 2))


async def test_values_are_forgotten_by_the_server_s_clock(make: MakeClient) -> None:
    clock = [1_800_000_000.0]
    options = ServerOptions(users={USER: PASSWORD}, clock=lambda: clock[0])
    async with LocalServer(options) as server:
        client = await make(url=server.ws_url)

        def values() -> Any:
            return State(client).values  # one that asks the server's clock anew

        await values().set("session", "a", ttl="1h")
        await values().set("n", 5, ttl=timedelta(hours=1))
        await values().set("kept", 1)
        clock[0] += 1800
        assert (await values().get("session")).ttl == pytest.approx(1800, abs=5)
        assert await values().incr("n") == 6
        assert not await values().set("session", "b", nx=True)
        assert (await values().scan()).keys == ("session", "n", "kept")
        clock[0] += 1801
        assert not (await values().get("session")).found
        assert not (await values().get("n")).found, "adding does not put it off"
        assert await values().incr("n") == 1
        assert not await values().set("session", "b", xx=True)
        assert await values().delete("session") == 0
        assert (await values().scan()).keys == ("n", "kept")
        asked = await asyncio.gather(*(values().set("session", n, nx=True) for n in range(4)))
        assert asked.count(True) == 1


async def test_a_scan_finds_each_key_once(state: State) -> None:
    long = ["a-" + letter * 300 for letter in "xy"]
    keys = [*(f"a-{n}" for n in range(7)), "a-#1", "a-%2", *long]
    for key in keys:
        await state.values.set(key, 1)
    for _ in range(5):
        await state.values.incr("a-3")
    for other in ("b-1", "b" * 300):
        await state.values.set(other, 1)
    await state.values.set("a-gone", 1)
    await state.values.delete("a-gone")
    await state.counter("a-counter").add()
    for count in (1, 3, 100):
        found, cursor, pages = [], "", 0
        while pages == 0 or cursor:
            page = await state.values.scan("a-", cursor, count)
            assert len(page.keys) <= count
            found += page.keys
            cursor, pages = page.cursor, pages + 1
        assert sorted(found) == sorted(keys), count
    assert sorted((await state.values.scan()).keys) == sorted([*keys, "b-1", "b" * 300])


async def test_documents_that_are_no_values_hurt_only_themselves(client: Client) -> None:
    state = State(client)
    await state.values.set("a", 1)
    base = cell_id("", "value", "b")
    odd: list[dict[str, Any]] = [
        {"content": {"json": "[" * 5000}},
        {"content": {"json": 5}},
        {"content": 7, "removed": "yes"},
        {"content": {"json": "1", "ttl": "x", "until": 1e300}, "name": ["b"]},
    ]
    for number, document in enumerate(odd):
        document = {"_type": "cell", "kind": "value", "name": f"b{number}", **document}
        await client.insert_one(COLLECTION, {"_id": f"{base}{number}#{1:010}", **document})
    await client.insert_one(COLLECTION, {"_id": f"{cell_id('', 'value', 'a')}#junk", "x": 1})
    for number in range(3):
        with pytest.raises(ServerError, match=rf"value 'b{number}' holds .*somebody else wrote"):
            await state.values.get(f"b{number}")
        assert await state.values.set(f"b{number}", 1)
    assert "a" in (await state.values.scan(count=1000)).keys
    assert await state.values.get("b3")


async def test_what_cannot_be_kept_is_refused(state: State) -> None:
    values = state.values
    with pytest.raises(ValueError, match=r"300,002 bytes of JSON; allowed: at most 262,144"):
        await values.set("k", "x" * 300_000)
    with pytest.raises(ValueError, match="nx and xx at once"):
        await values.set("k", 1, nx=True, xx=True)
    with pytest.raises(ValueError, match="ttl = 0; allowed: at least a millisecond"):
        await values.set("k", 1, ttl=0)
    with pytest.raises(ValueError, match='value: "" is empty'):
        await values.get("")
    with pytest.raises(TypeError, match="allowed: a whole number"):
        await values.incr("k", 1.5)  # type: ignore[arg-type]
    await values.set("k", "text")
    with pytest.raises(TypeError, match="it holds 'text', no whole number"):
        await values.incr("k")
    await values.set("k", 2**63)
    with pytest.raises(ValueError, match=r"beyond 2\*\*63"):
        await values.incr("k")
    with pytest.raises(ValueError, match="count = 0; allowed: 1 to 1,000"):
        await values.scan(count=0)
    with pytest.raises(TypeError, match="None is no text"):
        await values.scan(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cursor = 'x'"):
        await values.scan(cursor="x")
    with pytest.raises(ValueError, match=r"value: a\[1\]: .*allowed: what has a JSON form"):
        await values.set("k", {"a": [1, float("nan")]})
    with pytest.raises(TypeError, match="value: a: a bytes has no JSON form"):
        await values.set("k", {"a": b"x"})
    with pytest.raises(ValueError, match="value: a text has half a character"):
        await values.set("k", "\ud800")
    for name in (state.counter, state.lock, state.stream):
        with pytest.raises(ValueError, match="has half a character; allowed: whole ones"):
            name("x\ud800")
    for call in (state.once("x\ud800"), values.get("x\ud800"), values.set("x\ud800", 1)):
        with pytest.raises(ValueError, match="has half a character; allowed: whole ones"):
            await call
