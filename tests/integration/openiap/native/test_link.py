"""The link comes back by itself, with everything that was registered, and leaves nothing behind."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.openiap.native.conftest import (
    DEADLINE,
    PASSWORD,
    QUICK,
    USER,
    Clients,
    Peer,
    ScriptedServer,
    answer_usual,
    envelope_queue,
)
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.errors import AccessDenied, Disconnected, NotConnected, RequestTimeout
from worker.openiap.native import session
from worker.openiap.native.link import waits
from worker.openiap.native.transport import Times
from worker.openiap.types import ClientEvent, QueueEvent, WatchEvent
from worker.openiap.wire import openiap_pb2 as pb


def openiap_tasks() -> list[str]:
    return [
        task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("openiap")
    ]


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that nobody listens on, and that no other process is given meanwhile.

    It stays bound, which on Linux keeps nobody from listening who asks for this very port.
    """
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
        if sys.platform != "linux":
            one.close()
        yield port


class LoopClock:
    """Seconds in which the loop moved: while the machine halts, none pass."""

    STEP = 0.01

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.STEP)
            self.now += self.STEP


@pytest.fixture
async def by_the_loop(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Sessions measure silence by the loop's own time, in which the other end lives too."""
    clock = LoopClock()
    monkeypatch.setattr(session, "time", clock)
    running = asyncio.create_task(clock.run())
    yield
    running.cancel()


@pytest.mark.parametrize("transport", ["ws", "grpc"])
async def test_everything_is_registered_again_before_signed_in_is_told(
    clients: Clients, tmp_path: Path, transport: str
) -> None:
    ports = ExitStack()
    options = ServerOptions(
        port=ports.enter_context(reserved_port()),
        grpc_port=ports.enter_context(reserved_port()),
        data=tmp_path / "data.sqlite",
        users={USER: PASSWORD},
        wakeup_interval=600,
    )
    messages: asyncio.Queue[QueueEvent] = asyncio.Queue()
    changes: asyncio.Queue[WatchEvent] = asyncio.Queue()
    async with LocalServer(options) as server:
        url = server.ws_url if transport == "ws" else server.grpc_url
        watched = await clients.connected(url)
        client = watched.client
        await client.register_queue("wake", messages.put_nowait)
        own = await client.register_queue("", messages.put_nowait)
        exchanged = await client.register_exchange("news", messages.put_nowait)
        watchid = await client.watch("things", (), changes.put_nowait)
    await watched.until("Disconnected", 1)
    registered: list[bool] = []
    client.on_client_event(
        lambda event: (
            registered.append(
                all(one.current for one in client._link.registrations.queues.values())
            )
            if event.event == "SignedIn"
            else None
        )
    )
    async with LocalServer(options):
        await watched.until("SignedIn", 2)
        assert registered == [True]
        other = (await clients.connected(url)).client
        async with asyncio.timeout(DEADLINE):
            await other.queue_message({"n": 1}, "wake")
            assert (await messages.get()).queuename == "wake"
            await other.queue_message({"n": 2}, exchange_name="news")
            assert (await messages.get()).queuename == exchanged
            await client.queue_message({"n": 3}, own)
            event = await messages.get()
            assert (event.queuename, event.data) == (own, {"n": 3})
            await other.insert_one("things", {"name": "x"})
            change = await changes.get()
            assert (change.id, change.document["name"]) == (watchid, "x")
        assert messages.empty()
    ports.close()


async def test_a_call_in_flight_fails_at_once_when_the_link_drops(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = await clients.connected(scripted.url)
    call = asyncio.create_task(watched.client.pop_workitem("q", timeout=600))
    await scripted.peer.wait_for("popworkitem")
    await scripted.peer.cut()
    with pytest.raises(Disconnected) as caught:
        async with asyncio.timeout(DEADLINE):
            await call
    assert caught.value.operation == "pop_workitem"
    assert caught.value.maybe_done


async def test_a_call_while_the_link_is_down_fails_at_once_and_sends_nothing(
    clients: Clients, scripted: ScriptedServer
) -> None:
    slow = Times(first_wait=600.0, longest_wait=600.0)
    watched = await clients.connected(scripted.url, slow)
    await scripted.peer.cut()
    await watched.until("Disconnected", 1)
    with pytest.raises(NotConnected) as caught:
        await watched.client.delete_workitem("7")
    assert (caught.value.operation, caught.value.item_id) == ("delete_workitem", "7")
    assert not watched.client.connected


async def test_it_tries_for_ever_and_tells_each_attempt(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = await clients.connected(scripted.url)
    refuse = 3

    async def refused(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "signin" and len(scripted.peers) <= 1 + refuse:
            await peer.cut()
        else:
            await answer_usual(peer, envelope)

    scripted.answer = refused
    await scripted.peer.cut()
    await watched.until("SignedIn", 2)
    names = watched.names()
    assert names.count("Connecting") == 2 + refuse
    assert names.count("Disconnected") == 1 + refuse
    assert watched.client.connected


def test_waits_grow_to_their_bound_with_jitter() -> None:
    high: Callable[[float, float], float] = lambda low, most: most  # noqa: E731
    low: Callable[[float, float], float] = lambda low, most: low  # noqa: E731
    longest = waits(Times(), high)
    assert [next(longest) for _ in range(7)] == [1.5, 3.0, 6.0, 12.0, 24.0, 30.0, 30.0]
    shortest = waits(Times(), low)
    assert [next(shortest) for _ in range(3)] == [1.0, 1.0, 1.0]
    found = [wait for _, wait in zip(range(100), waits(Times()), strict=False)]
    assert all(1 <= wait <= 30 for wait in found)
    assert len(set(found)) > 90


async def test_a_first_connect_that_fails_raises_and_is_not_tried_again(clients: Clients) -> None:
    with reserved_port() as port:
        watched = clients.make(f"ws://127.0.0.1:{port}")
        with pytest.raises(NotConnected):
            await watched.client.connect(timeout=DEADLINE)
    assert watched.names() == ["Connecting", "Disconnected"]
    assert openiap_tasks() == []


async def test_a_server_that_never_answers_the_sign_in_is_a_timeout(
    clients: Clients, scripted: ScriptedServer
) -> None:
    async def deaf(peer: Peer, envelope: pb.Envelope) -> None:
        pass

    scripted.answer = deaf
    watched = clients.make(scripted.url)
    with pytest.raises(RequestTimeout):
        await watched.client.connect(timeout=0.3)
    assert openiap_tasks() == []


async def test_a_guest_sign_in_is_refused(clients: Clients, scripted: ScriptedServer) -> None:
    async def guest(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "signin":
            await peer.send(
                "signinreply", pb.SigninResponse(user=pb.User(username="guest")), envelope.id
            )

    scripted.answer = guest
    watched = clients.make(scripted.url)
    with pytest.raises(AccessDenied, match="guest"):
        await watched.client.connect(timeout=DEADLINE)


async def test_disconnect_leaves_no_task_and_can_be_repeated(clients: Clients, url: str) -> None:
    watched = await clients.connected(url)
    client = watched.client
    running = asyncio.Event()
    ended = asyncio.Event()

    async def endless(event: QueueEvent) -> None:
        running.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    await client.register_queue("q", endless)
    await client.queue_message({}, "q")
    async with asyncio.timeout(DEADLINE):
        await running.wait()
    await client.disconnect()
    assert ended.is_set()
    await client.disconnect()
    assert openiap_tasks() == []
    assert watched.names() == ["Connecting", "Connected", "SignedIn", "Disconnected"]
    with pytest.raises(NotConnected):
        await client.probe()
    await client.connect()
    await client.probe()


async def test_disconnect_ends_the_attempts_to_reconnect(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = await clients.connected(scripted.url)

    async def deaf(peer: Peer, envelope: pb.Envelope) -> None:
        pass

    scripted.answer = deaf
    await scripted.peer.cut()
    await watched.until("Connected", 2)
    await watched.client.disconnect()
    assert openiap_tasks() == []
    assert watched.names()[-1] == "Disconnected"


async def test_disconnect_from_within_a_callback_does_not_wait_for_itself(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = await clients.connected(scripted.url)
    done = asyncio.Event()

    async def give_up(event: ClientEvent) -> None:
        if event.event == "Disconnected":
            await watched.client.disconnect()
            done.set()

    watched.client.on_client_event(give_up)
    await scripted.peer.cut()
    async with asyncio.timeout(DEADLINE):
        await done.wait()
    assert not watched.client.connected


@pytest.mark.usefixtures("by_the_loop")
async def test_silence_ends_the_link_and_a_new_one_is_made(
    clients: Clients, scripted: ScriptedServer
) -> None:
    times = replace(QUICK, silence=0.6)
    silent: set[int] = set()

    async def frozen(peer: Peer, envelope: pb.Envelope) -> None:
        if id(peer) not in silent:
            await answer_usual(peer, envelope)

    scripted.answer = frozen
    watched = await clients.connected(scripted.url, times)
    first = scripted.peer
    silent.add(id(first))
    lost = await watched.until("Disconnected", 1)
    assert "nothing was heard" in lost.reason
    # It asked before it gave up.
    assert "getelement" in [envelope.command for envelope in first.received]
    await watched.until("SignedIn", 2)


@pytest.mark.usefixtures("by_the_loop")
async def test_a_quiet_server_that_answers_is_left_alone(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = await clients.connected(scripted.url, replace(QUICK, silence=0.6))
    await scripted.peer.wait_for("getelement", times=4)
    assert watched.names() == ["Connecting", "Connected", "SignedIn"]


async def test_pings_are_answered(clients: Clients, scripted: ScriptedServer) -> None:
    watched = await clients.connected(scripted.url)
    await scripted.peer.send("ping")
    pong = await scripted.peer.wait_for("pong", times=2)
    assert pong.rid == f"s{scripted.peer.seq}"
    assert not pong.data.value
    assert watched.client.connected


async def test_a_refreshed_token_is_used_for_the_next_sign_in(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = await clients.connected(scripted.url)
    await scripted.peer.send("refreshtoken", pb.RefreshToken(username=USER, jwt="newer"))
    await scripted.peer.send("ping")
    await scripted.peer.wait_for("pong", times=2)
    await scripted.peer.cut()
    await watched.until("SignedIn", 2)
    asked = await scripted.peer.wait_for("signin")
    request = pb.SigninRequest.FromString(asked.data.value)
    assert (request.jwt, request.username, request.password) == ("newer", "", "")


async def test_a_refreshed_token_that_grew_too_old_gives_way_to_the_password(
    clients: Clients, scripted: ScriptedServer
) -> None:
    async def picky(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "signin":
            request = pb.SigninRequest.FromString(envelope.data.value)
            if request.jwt:
                await peer.send("error", pb.ErrorResponse(message="jwt expired"), envelope.id)
                return
        await answer_usual(peer, envelope)

    scripted.answer = picky
    watched = await clients.connected(scripted.url)
    await scripted.peer.send("refreshtoken", pb.RefreshToken(username=USER, jwt="newer"))
    await scripted.peer.send("ping")
    await scripted.peer.wait_for("pong", times=2)
    await scripted.peer.cut()
    await watched.until("SignedIn", 2)
    asked = await scripted.peer.wait_for("signin", times=2)
    assert pb.SigninRequest.FromString(asked.data.value).password == PASSWORD


async def test_the_rate_limit_does_not_stop_the_sign_in_nor_what_follows_it(
    clients: Clients, scripted: ScriptedServer
) -> None:
    refused: list[str] = []

    async def limited(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command in ("signin", "registerqueue") and len(refused) < 4:
            refused.append(envelope.command)
            if len(refused) % 2:
                text = "Rate limit exceeded consumedPoints: 31"
                await peer.send("error", pb.ErrorResponse(message=text), envelope.id)
                return
        await answer_usual(peer, envelope)

    watched = await clients.connected(scripted.url)
    await watched.client.register_queue("q", lambda event: None)
    scripted.answer = limited
    await scripted.peer.cut()
    await watched.until("SignedIn", 2)
    assert refused == ["signin", "signin", "registerqueue", "registerqueue"]


async def test_a_queue_that_is_refused_after_a_reconnect_does_not_keep_the_rest_away(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = await clients.connected(scripted.url)
    await watched.client.register_queue("gone", lambda event: None)
    await watched.client.register_queue("kept", lambda event: None)

    async def picky(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "registerqueue" and envelope_queue(envelope) == "gone":
            text = "Unknown queue gone or access denied"
            await peer.send("error", pb.ErrorResponse(message=text), envelope.id)
            return
        await answer_usual(peer, envelope)

    scripted.answer = picky
    await scripted.peer.cut()
    await watched.until("SignedIn", 2)
    await watched.client.probe()


async def test_a_made_up_queue_whose_name_is_refused_later_gets_another_behind_the_scenes(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = await clients.connected(scripted.url)
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()
    name = await watched.client.register_queue("", got.put_nowait)

    async def reserved(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "registerqueue":
            if envelope_queue(envelope) == name and b"made.up" in envelope.data.value:
                await peer.send("error", pb.ErrorResponse(message="reserved"), envelope.id)
                return
            reply = pb.RegisterQueueResponse(queuename="another")
            await peer.send("registerqueuereply", reply, envelope.id)
            return
        await answer_usual(peer, envelope)

    scripted.answer = reserved
    await scripted.peer.cut()
    await watched.until("SignedIn", 2)
    await scripted.peer.send("queueevent", pb.QueueEvent(queuename="another", data="1"))
    async with asyncio.timeout(DEADLINE):
        assert (await got.get()).queuename == name


async def test_many_reconnects_leave_nothing_behind(
    clients: Clients, scripted_grpc: ScriptedServer
) -> None:
    watched = await clients.connected(scripted_grpc.url)
    for times in range(2, 7):
        await scripted_grpc.peer.cut()
        await watched.until("SignedIn", times)
    # The keeper, and the present stream's reader and writer.
    assert len(openiap_tasks()) == 3
    await watched.client.disconnect()
    assert openiap_tasks() == []


async def test_a_message_right_behind_the_registration_finds_its_callback(
    clients: Clients, scripted: ScriptedServer
) -> None:
    async def eager(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command != "registerqueue":
            await answer_usual(peer, envelope)
            return
        reply = pb.RegisterQueueResponse(queuename="made.up")
        event = pb.QueueEvent(queuename="made.up", data='{"early":true}')
        one = peer.encoded("registerqueuereply", reply, envelope.id)
        two = peer.encoded("queueevent", event)
        await peer.raw(len(one).to_bytes(4, "little") + one + len(two).to_bytes(4, "little") + two)  # type: ignore[attr-defined]

    scripted.answer = eager
    watched = await clients.connected(scripted.url)
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()
    assert await watched.client.register_queue("", got.put_nowait) == "made.up"
    async with asyncio.timeout(DEADLINE):
        assert (await got.get()).data == {"early": True}


async def test_registering_a_queue_again_only_changes_its_callback(
    clients: Clients, server: LocalServer
) -> None:
    watched = await clients.connected(server.ws_url)
    one: list[QueueEvent] = []
    two: asyncio.Queue[QueueEvent] = asyncio.Queue()
    await watched.client.register_queue("q", one.append)
    await watched.client.register_queue("q", two.put_nowait)
    await watched.client.queue_message({"n": 1}, "q")
    async with asyncio.timeout(DEADLINE):
        await two.get()
    assert one == []


async def test_connect_can_be_cancelled(clients: Clients, scripted: ScriptedServer) -> None:
    async def deaf(peer: Peer, envelope: pb.Envelope) -> None:
        pass

    scripted.answer = deaf
    watched = clients.make(scripted.url)
    attempt = asyncio.create_task(watched.client.connect())
    await watched.until("Connected", 1)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert openiap_tasks() == []
    assert not watched.client.connected


async def test_a_password_never_shows(clients: Clients) -> None:
    watched = clients.make("ws://me:hunter2@127.0.0.1:1", username="", password="")
    with pytest.raises(NotConnected) as caught:
        await watched.client.connect(timeout=DEADLINE)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r} {watched.events!r}"


def test_seconds_of_the_link_have_their_defaults() -> None:
    assert Times().silence == 30.0
    assert (Times().first_wait, Times().longest_wait) == (1.0, 30.0)
