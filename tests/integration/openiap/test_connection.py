"""Contract of the client: the link, the sign-in, the events, the deadlines."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.integration.openiap.conftest import PASSWORD, USER, Door
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.errors import (
    AccessDenied,
    Disconnected,
    NotConnected,
    OpenIAPError,
    RequestTimeout,
)
from worker.openiap.types import ClientEvent
from worker.testing.reserved_ports import reserved_ports

Names = Callable[[], list[str]]


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds; fails when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_connecting_signs_in_and_tells_who(idle_door: Door) -> None:
    client = idle_door.client
    assert not client.connected
    assert client.user is None
    await client.connect(timeout=60)
    assert client.connected
    assert client.user is not None
    assert client.user.username == USER
    assert client.user.id
    assert client.server_config["version"]
    assert client.capabilities.name == idle_door.kind


async def test_a_sign_in_is_told_exactly_once(door: Door, names: Names) -> None:
    await door.client.count("things")
    await until(lambda: "SignedIn" in names())
    # Whatever comes late from the first connection comes while calls go to and fro.
    for _ in range(20):
        await door.client.count("things")
        await asyncio.sleep(0.01)
    assert names().count("SignedIn") == 1
    assert names().count("Connected") <= 1
    assert "Disconnected" not in names()


async def test_callbacks_may_be_async_and_may_raise(idle_door: Door) -> None:
    told: asyncio.Queue[ClientEvent] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def bad(event: ClientEvent) -> None:
        raise RuntimeError("a callback that raises")

    async def good(event: ClientEvent) -> None:
        assert asyncio.get_running_loop() is loop
        await told.put(event)

    idle_door.client.on_client_event(bad)
    eventid = idle_door.client.on_client_event(good)
    await idle_door.client.connect(timeout=60)
    async with asyncio.timeout(60):
        while (await told.get()).event != "SignedIn":
            pass
    idle_door.client.off_client_event(eventid)
    idle_door.client.off_client_event("unknown")
    await idle_door.server.drop_connections()
    assert told.empty()


async def test_wrong_credentials_are_refused(idle_door: Door) -> None:
    client = idle_door.make(password="wrong")
    with pytest.raises(AccessDenied) as caught:
        await client.connect(timeout=60)
    assert "wrong" not in str(caught.value)
    assert not client.connected


@pytest.mark.parametrize("missing", [{"username": ""}, {"password": ""}])
async def test_a_guest_is_refused_before_anything_is_sent(
    idle_door: Door, missing: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = idle_door.make(**missing)
    with pytest.raises(AccessDenied, match="guest"):
        await client.connect(timeout=60)
    assert idle_door.server.stats.get("connections", 0) == 0


async def test_given_credentials_win_over_the_environment(
    idle_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENIAP_USERNAME", "somebody")
    monkeypatch.setenv("OPENIAP_PASSWORD", "else")
    monkeypatch.setenv("OPENIAP_JWT", "not a token")
    monkeypatch.setenv("jwt", "not a token")
    await idle_door.client.connect(timeout=60)
    assert idle_door.client.user is not None
    assert idle_door.client.user.username == USER


async def test_a_token_signs_in(door: Door) -> None:
    token, user = await door.client.signin()
    assert user is not None
    assert user.username == USER
    other = await door.another(username="", password="", jwt=token)
    assert other.user is not None
    assert other.user.username == USER


async def test_signing_in_again_gives_a_token_and_keeps_the_link(door: Door) -> None:
    token, user = await door.client.signin(USER, PASSWORD)
    assert token
    assert user is not None
    assert user.username == USER
    validated, _ = await door.client.signin(USER, PASSWORD, validateonly=True)
    assert validated
    with pytest.raises(AccessDenied):
        await door.client.signin(USER, "wrong", validateonly=True)
    assert door.client.connected


async def test_nobody_there_is_not_connected(idle_door: Door) -> None:
    async with LocalServer(ServerOptions(users={USER: PASSWORD})) as gone:
        url = gone.ws_url if idle_door.transport == "ws" else gone.grpc_url
        web = gone.http_url
    client = idle_door.make(url=url, http_url=web)
    with reserved_ports("127.0.0.1", gone.port, gone.grpc_port):
        with pytest.raises(NotConnected):
            await client.connect(timeout=60)
        assert not client.connected


async def test_a_url_that_is_none_is_not_connected(idle_door: Door) -> None:
    for url in ("ftp://127.0.0.1", "ws://", "ws://127.0.0.1:http"):
        with pytest.raises(NotConnected):
            await idle_door.client.connect(url, timeout=60)


async def test_an_http_url_is_taken_as_websocket(idle_door: Door) -> None:
    await idle_door.client.connect(idle_door.server.http_url, timeout=60)
    assert idle_door.client.connected


async def test_a_silent_server_does_not_hold_connect(idle_door: Door) -> None:
    idle_door.server.faults.silent = True
    client = idle_door.make(default_timeout=600.0)
    async with asyncio.timeout(60):
        with pytest.raises((RequestTimeout, NotConnected)):
            await client.connect(timeout=1)
    assert not client.connected


async def test_no_call_outlives_its_deadline(door: Door) -> None:
    await door.queue("q")
    # Whoever forgets the deadline of a call has to wait for this one.
    client = await door.another(default_timeout=600.0)
    door.server.faults.silent = True
    calls = {
        "query": client.query("things", timeout=0.1),
        "pop_workitem": client.pop_workitem("q", timeout=0.1),
        "push_workitem": client.push_workitem("q", {}, timeout=0.1),
        "register_queue": client.register_queue("m", lambda event: None, timeout=0.1),
        "queue_message": client.queue_message({}, "m", timeout=0.1),
        "watch": client.watch("things", timeout=0.1),
        "signin": client.signin(timeout=0.1),
        "probe": client.probe(timeout=0.1),
        "rpc": client.rpc({}, "m", timeout=0.1),
        "upload": client.upload(__file__, timeout=0.1),
    }
    async with asyncio.timeout(60):
        for operation, call in calls.items():
            with pytest.raises(RequestTimeout) as caught:
                await call
            assert caught.value.maybe_done, operation


async def test_the_default_deadline_is_the_options(door: Door) -> None:
    client = await door.another(default_timeout=0.5)
    door.server.faults.silent = True
    async with asyncio.timeout(60):
        with pytest.raises(RequestTimeout):
            await client.count("things")


async def test_probe_is_answered_and_heard(door: Door) -> None:
    before = door.client.last_heard
    await asyncio.sleep(0.02)
    await door.client.probe(timeout=60)
    assert before < door.client.last_heard <= time.monotonic()


async def test_before_connect_every_call_is_not_connected(idle_door: Door) -> None:
    with pytest.raises(NotConnected):
        await idle_door.client.count("things")
    with pytest.raises(NotConnected):
        await idle_door.client.pop_workitem("q")
    with pytest.raises(NotConnected):
        await idle_door.client.register_queue("m", lambda event: None)


async def test_disconnect_is_final_and_idempotent(door: Door) -> None:
    await door.client.disconnect()
    await door.client.disconnect()
    assert not door.client.connected
    with pytest.raises(NotConnected):
        await door.client.count("things")


async def test_disconnect_ends_calls_in_flight(door: Door) -> None:
    door.server.faults.silent = True
    call = asyncio.ensure_future(door.client.count("things"))
    await asyncio.sleep(0.05)
    await door.client.disconnect()
    with pytest.raises((Disconnected, NotConnected)):
        async with asyncio.timeout(60):
            await call


async def test_a_client_can_connect_once_more(door: Door) -> None:
    await door.client.disconnect()
    await door.client.connect(timeout=60)
    assert await door.client.count("things") == 0


async def test_a_cut_link_comes_back_and_is_told_once(door: Door, names: Names) -> None:
    await lose_link(door.client, door)
    await until(lambda: names().count("SignedIn") == 2)
    assert door.client.connected
    assert await door.client.count("things") == 0
    assert names().count("SignedIn") == 2
    assert names().index("Disconnected") < len(names()) - 1 - names()[::-1].index("SignedIn")


async def test_a_cut_link_ends_calls_in_flight_as_maybe_done(door: Door) -> None:
    door.server.faults.delay = {"count": 600.0}
    call = asyncio.ensure_future(door.client.count("things", timeout=60))
    await until(lambda: door.server.stats.get("count", 0) > 0)
    await door.server.drop_connections()
    with pytest.raises(Disconnected) as caught:
        await call
    assert caught.value.maybe_done


async def test_while_the_server_is_away_calls_fail_at_once(door: Door) -> None:
    await door.server.stop()
    await until_lost(door.client)
    async with asyncio.timeout(60):
        with pytest.raises(NotConnected) as caught:
            await door.client.count("things", timeout=600)
    assert not caught.value.maybe_done


async def lose_link(client: Client, door: Door) -> None:
    """Cut the link and wait until the client knows."""
    known = len(door.events)
    await door.server.drop_connections()
    await until(lambda: any(event.event == "Disconnected" for event in door.events[known:]))


async def until_lost(client: Client) -> None:
    """Wait until the client knows that its link is gone; a probe tells those who do not listen."""
    async with asyncio.timeout(60):
        while client.connected:
            try:
                await client.probe(timeout=1)
            except OpenIAPError:
                await asyncio.sleep(0.05)
