"""Counters count exactly and guards let one pass, whoever asks at once and whatever dies."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.state.conftest import PASSWORD, USER, MakeClient
from worker import State
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.state.cells import COLLECTION
from worker.testing.reserved_ports import reserved_ports

EACH = 15


async def test_every_caller_gets_a_number_of_its_own(process) -> None:
    several = [await process(), await process("native"), await process()]
    for one in several:
        one.tell(f"add vouchers {EACH}")
    values = [value for one in several for value in await one.answer()]
    assert sorted(values) == list(range(1, 3 * EACH + 1))


async def test_a_counter_is_exact_across_restarts_of_the_server(
    tmp_path: Path, kind: str, make: MakeClient
) -> None:
    options = ServerOptions(data=tmp_path / "data.sqlite", users={USER: PASSWORD})
    async with LocalServer(options) as first:
        options.port = first.port
        clients = [await make(url=first.ws_url) for _ in "ab"]
        counters = [State(client).counter("n") for client in clients]

        async def count(counter) -> list[int]:
            return [await counter.add() for _ in range(EACH)]

        counting = [asyncio.create_task(count(counter)) for counter in counters]
        async with asyncio.timeout(60):
            while await State(clients[0]).counter("n").value() < 5:
                await asyncio.sleep(0)
    with reserved_ports(options.host, options.port):
        await asyncio.sleep(0)
        async with LocalServer(options), asyncio.timeout(100):
            values = [value for one in await asyncio.gather(*counting) for value in one]
        assert sorted(values) == list(range(1, 2 * EACH + 1))


async def test_lost_answers_are_not_counted_twice(make: MakeClient, server: LocalServer) -> None:
    counter = State(await make(timeout=0.5)).counter("n")
    for value in range(1, 5):
        server.faults.lose_replies["insertone"] = 1
        assert await counter.add() == value
    assert await counter.add(-10) == -6
    assert await counter.value() == -6


async def test_a_counter_begins_at_zero_and_again_when_its_documents_are_deleted(
    client: Client,
) -> None:
    state = State(client)
    assert await state.counter("n").value() == 0
    counter = state.counter("n")
    assert await counter.add(5) == 5
    await client.delete_many(COLLECTION, {"kind": "counter"})
    assert await state.counter("n").add() == 1


async def test_what_cannot_be_added_is_refused(client: Client) -> None:
    counter = State(client).counter("n")
    with pytest.raises(TypeError, match=r"add\(1\.5\): allowed: a whole number"):
        await counter.add(1.5)  # type: ignore[arg-type]
    assert await counter.add(2**53) == 2**53
    with pytest.raises(ValueError, match=r"9007199254740993 is beyond what is exact \(2\*\*53\)"):
        await counter.add()


async def test_of_all_that_ask_exactly_one_passes(make: MakeClient) -> None:
    states = [State(await make()), State(await make("native"))]
    for number in range(10):
        asked = await asyncio.gather(*(s.once(f"mail-{number}") for s in states for _ in "abc"))
        assert asked.count(True) == 1
    assert await states[0].once("mail-0") is False


async def test_a_lost_answer_does_not_lose_the_true(make: MakeClient, server: LocalServer) -> None:
    state = State(await make(timeout=0.5))
    server.faults.lose_replies["insertone"] = 1
    assert await state.once("mail") is True
    assert await state.once("mail") is False


async def test_a_guard_with_a_term_opens_again_for_one_by_the_server_s_clock(
    kind: str, make: MakeClient
) -> None:
    clock = [1_800_000_000.0]
    options = ServerOptions(users={USER: PASSWORD}, clock=lambda: clock[0])
    async with LocalServer(options) as server:
        clients = [await make(url=server.ws_url) for _ in "ab"]
        assert await State(clients[0]).once("mail", keep="1h") is True
        clock[0] += 3500
        assert await State(clients[0]).once("mail", keep="1h") is False
        clock[0] += 101
        states = [State(client) for client in clients]
        asked = await asyncio.gather(*(s.once("mail", keep="1h") for s in states for _ in "abc"))
        assert asked.count(True) == 1


async def test_namespaces_have_states_of_their_own(client: Client) -> None:
    assert await State(client, "test").once("mail")
    assert await State(client, "production").once("mail")
    assert await State(client, "test").counter("n").add() == 1
    assert await State(client, "production").counter("n").add() == 1


async def test_an_empty_or_a_long_key_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match='once: "" is empty; allowed: text of 1 to 1,000 bytes'):
        await State(client).once("")
    with pytest.raises(ValueError, match="has 5,000 bytes; allowed: text of 1 to 1,000 bytes"):
        await State(client).once("x" * 5000)
    with pytest.raises(ValueError, match="is not a duration"):
        await State(client).once("a", keep=-1)
