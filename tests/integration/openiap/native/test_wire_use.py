"""What goes over the wire: numbers in order, requests of one turn together, scopes, deadlines."""

import asyncio
import time

import pytest

from tests.integration.openiap.native.conftest import (
    DEADLINE,
    Clients,
    Peer,
    ScriptedServer,
    answer_usual,
)
from worker.openiap.errors import RequestTimeout
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.workitem import Workitem


async def counting(peer: Peer, envelope: pb.Envelope) -> None:
    if envelope.command == "count":
        await peer.send("countreply", pb.CountResponse(result=1), envelope.id)
    else:
        await answer_usual(peer, envelope)


async def test_numbers_start_at_0_and_rise_by_one_pongs_included(
    clients: Clients, scripted: ScriptedServer
) -> None:
    scripted.answer = counting
    watched = await clients.connected(scripted.url)

    async def pinging() -> None:
        for _ in range(50):
            await scripted.peer.send("ping")

    await asyncio.gather(pinging(), *[watched.client.count("x") for _ in range(200)])
    await scripted.peer.wait_for("pong", times=51)
    numbers = [envelope.seq for envelope in scripted.peer.received]
    assert numbers == list(range(len(numbers)))
    ids = [envelope.id for envelope in scripted.peer.received]
    assert len(set(ids)) == len(ids)


async def test_a_new_connection_starts_at_0(clients: Clients, scripted: ScriptedServer) -> None:
    watched = await clients.connected(scripted.url)
    await scripted.peer.cut()
    await watched.until("SignedIn", 2)
    assert scripted.peer.received[0].seq == 0


async def test_requests_of_one_turn_of_the_loop_leave_in_one_message(
    clients: Clients, scripted: ScriptedServer
) -> None:
    scripted.answer = counting
    watched = await clients.connected(scripted.url)
    await scripted.peer.wait_for("pong")  # the answer to the greeting is a message of its own
    before = len(scripted.peer.messages)
    assert await asyncio.gather(*[watched.client.count("x") for _ in range(100)]) == [1] * 100
    assert len(scripted.peer.messages) - before <= 2


async def test_large_requests_are_not_heaped_into_one_message(
    clients: Clients, scripted: ScriptedServer
) -> None:
    scripted.answer = counting
    watched = await clients.connected(scripted.url)
    query = {"text": "x" * 200_000}
    await asyncio.gather(*[watched.client.count("x", query) for _ in range(10)])
    assert max(len(message) for message in scripted.peer.messages) < 300_000


async def test_a_call_ends_by_its_deadline(clients: Clients, scripted: ScriptedServer) -> None:
    watched = await clients.connected(scripted.url)
    long = asyncio.create_task(watched.client.count("x", timeout=600))
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(RequestTimeout) as caught:
            await watched.client.delete_workitem("7", timeout=0.1)
    assert (caught.value.operation, caught.value.item_id) == ("delete_workitem", "7")
    assert caught.value.maybe_done
    assert not long.done()
    long.cancel()
    # The link lives on, and so do calls with other deadlines.
    await watched.client.probe()


async def test_deadlines_of_many_calls_are_kept_each(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = await clients.connected(scripted.url)

    async def one(timeout: float) -> float:
        began = time.monotonic()
        with pytest.raises(RequestTimeout):
            await watched.client.count("x", timeout=timeout)
        return time.monotonic() - began

    # The first and the last one are beside the others, which must not wait for them.
    long = [asyncio.create_task(one(600))]
    await asyncio.sleep(0)
    short = [asyncio.create_task(one(timeout)) for timeout in (0.6, 0.1, 0.3, 0.2)]
    await asyncio.sleep(0)
    long.append(asyncio.create_task(one(600)))
    async with asyncio.timeout(DEADLINE):
        took = await asyncio.gather(*short)
    for timeout, seconds in zip((0.6, 0.1, 0.3, 0.2), took, strict=True):
        assert timeout - 0.01 <= seconds
    for task in long:
        assert not task.done()
        task.cancel()


@pytest.mark.parametrize("how", ["deadline", "cancelled"])
async def test_an_item_popped_too_late_is_not_lost(
    clients: Clients, scripted: ScriptedServer, how: str
) -> None:
    watched = await clients.connected(scripted.url)
    late: asyncio.Queue[Workitem] = asyncio.Queue()
    watched.client.on_late_pop = late.put_nowait
    if how == "deadline":
        with pytest.raises(RequestTimeout):
            await watched.client.pop_workitem("q", timeout=0.05)
    else:
        pop = asyncio.create_task(watched.client.pop_workitem("q"))
        await scripted.peer.wait_for("popworkitem")
        pop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pop
    asked = await scripted.peer.wait_for("popworkitem")
    reply = pb.PopWorkitemResponse(workitem=pb.Workitem(_id="7", state="processing"))
    await scripted.peer.send("popworkitemreply", reply, asked.id)
    async with asyncio.timeout(DEADLINE):
        assert (await late.get()).id == "7"


async def test_a_pop_cancelled_with_its_answer_in_hand_is_not_lost(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = await clients.connected(scripted.url)
    late: list[str] = []
    watched.client.on_late_pop = lambda item: late.append(item.id)
    pop = asyncio.create_task(watched.client.pop_workitem("q"))
    asked = await scripted.peer.wait_for("popworkitem")
    session = watched.client._link.session_for("test")
    reply = pb.PopWorkitemResponse(workitem=pb.Workitem(_id="7", state="processing"))
    # Between the reply's arrival and the caller's turn.
    session.received(scripted.peer.encoded("popworkitemreply", reply, asked.id))
    pop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pop
    assert late == ["7"]


async def test_a_scope_travels_with_its_calls_only(
    clients: Clients, scripted: ScriptedServer
) -> None:
    scripted.answer = counting
    watched = await clients.connected(scripted.url)
    other = await clients.connected(scripted.url)
    with watched.client.scope(jwt="somebody", traceid="t1"):
        await watched.client.count("x")
        with watched.client.scope(spanid="s1"):
            await asyncio.create_task(watched.client.count("x"))
            with other.client.scope(traceid="t2"):
                await watched.client.count("x")
                await other.client.count("x")
        await other.client.count("x")
    await watched.client.count("x")
    sent = [
        [(one.jwt, one.traceid, one.spanid) for one in peer.received if one.command == "count"]
        for peer in scripted.peers
    ]
    assert sent[0] == [
        ("somebody", "t1", ""),
        ("somebody", "t1", "s1"),
        ("somebody", "t1", "s1"),
        ("", "", ""),
    ]
    # Another client may be of another server, which must not see the token.
    assert sent[1] == [("", "t2", ""), ("", "", "")]


async def test_a_scope_does_not_leak_into_the_links_own_messages(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = clients.make(scripted.url)
    with watched.client.scope(jwt="somebody"):
        await watched.client.connect()
    await scripted.peer.cut()
    await watched.until("SignedIn", 2)
    assert {one.jwt for peer in scripted.peers for one in peer.received} == {""}


async def test_nothing_is_kept_of_calls_that_have_ended(
    clients: Clients, scripted: ScriptedServer
) -> None:
    scripted.answer = counting
    watched = await clients.connected(scripted.url)
    session = watched.client._link.session_for("test")
    await asyncio.gather(*[watched.client.count("x") for _ in range(100)])
    cancelled = asyncio.create_task(watched.client.pop_workitem("q", timeout=0.05))
    await scripted.peer.wait_for("popworkitem")
    cancelled.cancel()
    with pytest.raises(RequestTimeout):
        await watched.client.delete_workitem("1", timeout=0.05)
    assert [one.operation for one in session._pending.values()] == ["pop_workitem"]
