"""What user code registers over a pool is there again, whatever becomes of the links."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.proxy import Proxy
from tests.integration.openiap.conftest import CLIENTS, PASSWORD, USER, make_client
from worker.localserver import LocalServer
from worker.openiap.client import Client
from worker.openiap.connection import Connection, LinkTimes
from worker.openiap.errors import OpenIAPError
from worker.openiap.limiter import Limiter
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.types import ClientEvent, ConnectionOptions, QueueEvent, WatchEvent

SECONDS = 60
TIMES = LinkTimes(
    reconnect_min=0.05, reconnect_max=0.2, watchdog_interval=0.3, connect_timeout=SECONDS
)


@dataclass
class Site:
    """A pool of clients of one kind, each connection through a proxy of its own."""

    kind: str
    server: LocalServer
    proxies: list[Proxy]
    pool: Pool
    client: Client
    told: list[str]
    """``sign-in N`` whenever a connection's ``on_connected`` was told."""
    other: Client
    """A client with a link of its own."""

    def owner(self, name: str) -> int:
        """Which connection has the registration of this name."""
        (found,) = (
            number
            for number, connection in enumerate(self.pool.connections)
            for one in connection.keeper.kept
            if one.name == name
        )
        return found

    async def signed_in_again(self, number: int, break_it: Callable[[], Awaitable[None]]) -> None:
        """Break a connection and wait until it is ready again."""
        before = self.pool.connections[number].epoch
        await break_it()
        async with asyncio.timeout(SECONDS):
            while (
                self.pool.connections[number].epoch == before
                or not self.pool.connections[number].ready.is_set()
            ):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def site(kind: str, server: LocalServer, connections: int = 1) -> AsyncIterator[Site]:
    told: list[str] = []
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(Proxy(server.port)) for _ in range(connections)]

        def maker(number: int) -> Callable[[], Client]:
            return lambda: make_client(
                kind,
                ConnectionOptions(
                    url=f"ws://127.0.0.1:{proxies[number].port}",
                    username=USER,
                    password=PASSWORD,
                    http_url=server.http_url,
                    default_timeout=5.0,
                ),
            )

        async def on_connected(connection: Connection) -> None:
            told.append(f"sign-in {connection.name}")

        class Log:
            def info(self, message: str, **fields: object) -> None: ...
            def warn(self, message: str, **fields: object) -> None: ...

            def error(self, message: str, **fields: object) -> None:
                told.append(message)

        pool = Pool(
            [
                Connection(
                    str(number),
                    maker(number),
                    limiter=Limiter(0),
                    times=TIMES,
                    log=Log(),
                    on_connected=on_connected,
                    on_lost=lambda connection, reason: None,
                )
                for number in range(connections)
            ]
        )
        other = make_client(
            kind, ConnectionOptions(url=server.ws_url, username=USER, password=PASSWORD)
        )
        await other.connect(timeout=SECONDS)
        stack.push_async_callback(other.disconnect)
        stack.push_async_callback(pool.stop)
        await pool.start()
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(connection.ready.wait() for connection in pool.connections))
        yield Site(kind, server, proxies, pool, pooled_client(pool), told, other)


def breaks(site: Site) -> dict[str, Callable[[], Awaitable[None]]]:
    """Return what can become of the link of a site's first connection."""
    (proxy,) = site.proxies

    async def cut() -> None:
        proxy.cut()

    async def half_open() -> None:
        proxy.half_open()
        while site.pool.ready:
            await asyncio.sleep(0.01)
        proxy.restore()

    async def frozen() -> None:
        proxy.freeze()
        while site.pool.ready:
            await asyncio.sleep(0.01)
        proxy.restore()

    return {"cut": cut, "half-open": half_open, "frozen": frozen}


async def heard(got: "asyncio.Queue[Any]") -> Any:
    async with asyncio.timeout(SECONDS):
        return await got.get()


@pytest.mark.dear
@pytest.mark.parametrize("how", ["cut", "half-open", "frozen"])
@pytest.mark.parametrize("kind", CLIENTS)
async def test_registrations_are_there_again_after_each_sign_in_and_only_once(
    server: LocalServer, kind: str, how: str
) -> None:
    async with site(kind, server) as it:
        letters: asyncio.Queue[QueueEvent] = asyncio.Queue()
        news: asyncio.Queue[QueueEvent] = asyncio.Queue()
        mine: asyncio.Queue[QueueEvent] = asyncio.Queue()
        changes: asyncio.Queue[WatchEvent] = asyncio.Queue()
        events: list[ClientEvent] = []
        it.client.on_client_event(events.append)
        assert await it.client.register_queue("letters", letters.put_nowait) == "letters"
        exchanged = await it.client.register_exchange("news", news.put_nowait)
        made_up = await it.client.register_queue("", mine.put_nowait)
        watchid = await it.client.watch("things", [], changes.put_nowait)
        ended = await it.client.watch("things", [], lambda event: it.told.append("ended"))
        await it.client.unwatch(ended)

        present = it.pool.connections[0].present
        await it.signed_in_again(0, breaks(it)[how])

        if how == "half-open":  # the watchdog has replaced it
            assert it.pool.connections[0].present is not present
        assert it.told == ["sign-in 0"] * 2
        await it.other.queue_message({"n": 1}, "letters")
        await it.other.queue_message({"n": 2}, exchangename="news")
        await it.other.insert_one("things", {"n": 3})
        assert (await heard(letters)).data == {"n": 1}
        told = await heard(news)
        assert (told.data, told.queuename) == ({"n": 2}, exchanged)
        change = await heard(changes)
        assert (change.document["n"], change.id) == (3, watchid)
        await it.other.queue_message({"n": 4}, made_up)
        assert (await heard(mine)).queuename == made_up

        assert [event.event for event in events].count("SignedIn") == 2
        assert [event.event for event in events].count("Disconnected") == 1
        await it.client.unregister_queue(exchanged)
        await it.client.unwatch(watchid)
        await it.client.count("things")
        assert all(queue.empty() for queue in (letters, news, mine))
        assert changes.empty()
        await it.other.insert_one("things", {"n": 5})
        await it.client.count("things")
        assert changes.empty()
        assert "ended" not in it.told


@pytest.mark.parametrize("kind", CLIENTS)
async def test_registrations_are_made_again_before_on_connected_is_told(
    server: LocalServer, kind: str
) -> None:
    async with site(kind, server) as it:
        await it.client.register_queue("letters", print)
        tap = it.proxies[0].tap("registerqueue", "reply", act="hold")
        it.proxies[0].cut()
        async with asyncio.timeout(SECONDS):
            await tap.reached.wait()
        assert it.told == ["sign-in 0"]
        assert not it.pool.ready
        it.proxies[0].release()
        async with asyncio.timeout(SECONDS):
            while len(it.told) < 2:
                await asyncio.sleep(0.01)
        assert it.told == ["sign-in 0"] * 2


@pytest.mark.parametrize("kind", CLIENTS)
async def test_with_two_connections_each_registration_stays_with_its_own(
    server: LocalServer, kind: str
) -> None:
    async with site(kind, server, connections=2) as it:
        got: dict[str, asyncio.Queue[QueueEvent]] = {}
        for name in ("first", "second"):
            got[name] = asyncio.Queue()
            # The other connection has more to do, so this one is chosen.
            busy = it.pool.connections[0 if name == "second" else 1]
            busy.in_flight += 5
            await it.client.register_queue(name, got[name].put_nowait)
            busy.in_flight -= 5
        assert (it.owner("first"), it.owner("second")) == (0, 1)

        async def cut() -> None:
            it.proxies[1].cut()

        await it.signed_in_again(1, cut)
        await it.other.queue_message({"n": 1}, "second")
        assert (await heard(got["second"])).data == {"n": 1}

        it.pool.connections[1].in_flight += 5
        await it.client.unregister_queue("second")
        it.pool.connections[1].in_flight -= 5
        with contextlib.suppress(OpenIAPError):  # a server may refuse what nobody receives
            await it.other.queue_message({"n": 2}, "second")
        await it.client.count("things")
        assert got["second"].empty()
        await it.other.queue_message({"n": 3}, "first")
        assert (await heard(got["first"])).data == {"n": 3}


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_watch_is_ended_on_the_connection_that_it_is_on(
    server: LocalServer, kind: str
) -> None:
    async with site(kind, server, connections=2) as it:
        got: list[asyncio.Queue[WatchEvent]] = [asyncio.Queue(), asyncio.Queue()]
        ids = []
        for number in (0, 1):
            it.pool.connections[1 - number].in_flight += 5
            ids.append(await it.client.watch("things", [], got[number].put_nowait))
            it.pool.connections[1 - number].in_flight -= 5
        assert [it.owner(id) for id in ids] == [0, 1]
        it.pool.connections[1].in_flight += 5
        await it.client.unwatch(ids[1])
        it.pool.connections[1].in_flight -= 5
        await it.other.insert_one("things", {"n": 1})
        assert (await heard(got[0])).document["n"] == 1
        await asyncio.gather(*(c.call(lambda on: on.count("things")) for c in it.pool.connections))
        assert got[1].empty()


@pytest.mark.parametrize("kind", CLIENTS)
async def test_what_is_ended_while_the_link_is_down_does_not_come_back(
    server: LocalServer, kind: str
) -> None:
    async with site(kind, server) as it:
        got: asyncio.Queue[Any] = asyncio.Queue()
        watchid = await it.client.watch("things", [], got.put_nowait)
        await it.client.register_queue("letters", got.put_nowait)

        async def cut() -> None:
            it.proxies[0].refuse()
            async with asyncio.timeout(SECONDS):
                while it.pool.ready:
                    await asyncio.sleep(0.01)
                await it.client.unwatch(watchid)
                await it.client.unregister_queue("letters")
            it.proxies[0].restore()

        await it.signed_in_again(0, cut)
        await it.other.insert_one("things", {"n": 1})
        await it.client.count("things")
        assert got.empty()
        assert server.stats.get("registerqueue") == 1
        assert server.stats.get("watch") == 1


@pytest.mark.parametrize("kind", CLIENTS)
async def test_registering_at_each_sign_in_as_documented_registers_once(
    server: LocalServer, kind: str
) -> None:
    async with site(kind, server) as it:
        got: asyncio.Queue[QueueEvent] = asyncio.Queue()
        registered: asyncio.Queue[str] = asyncio.Queue()

        async def on_event(event: ClientEvent) -> None:
            if event.get("event") == "SignedIn":
                name = await it.client.register_queue(queue_name="letters", callback=got.put_nowait)
                registered.put_nowait(name)

        eventid = it.client.on_client_event(on_event)
        assert await heard(registered) == "letters"

        async def cut() -> None:
            it.proxies[0].cut()

        await it.signed_in_again(0, cut)
        assert await heard(registered) == "letters"
        assert len(it.pool.connections[0].keeper.kept) == 1
        await it.other.queue_message({"n": 1}, "letters")
        assert (await heard(got)).data == {"n": 1}
        it.client.off_client_event(eventid)
        await it.signed_in_again(0, cut)
        assert registered.empty()


@pytest.mark.parametrize("kind", CLIENTS)
async def test_what_the_server_refuses_to_register_again_keeps_nobody_waiting(
    server: LocalServer, kind: str
) -> None:
    async with site(kind, server) as it:
        got: asyncio.Queue[QueueEvent] = asyncio.Queue()
        await it.client.register_queue("secret", lambda event: None)
        await it.client.register_queue("letters", got.put_nowait)

        def refusing(side: str, request: Any) -> str | None:
            if side == "request" and request.command == "registerqueue":
                return "Access denied" if b"secret" in request.data.value else None
            return None

        it.proxies[0].refusing = refusing

        async def cut() -> None:
            it.proxies[0].cut()

        await it.signed_in_again(0, cut)
        await it.other.queue_message({"n": 1}, "letters")
        assert (await heard(got)).data == {"n": 1}
        if kind == "official":  # the native client says so itself
            assert any("register_queue secret" in line for line in it.told)


@pytest.mark.parametrize("kind", CLIENTS)
async def test_gauges_are_set_again_on_a_client_that_takes_the_place_of_another(
    server: LocalServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(kind, server) as it:
        present = it.pool.connections[0].present
        assert present is not None
        gauges: list[tuple[object, ...]] = []
        monkeypatch.setattr(
            type(present._backend.telemetry),
            "set_gauge",
            lambda telemetry, *what: gauges.append(what),
        )
        it.client.set_u64_observable_gauge("boxes", 3)
        it.client.set_f64_observable_gauge("heat", 2.5, "of the room")
        it.client.set_u64_observable_gauge("gone", 1)
        it.client.disable_observable_gauge("gone")
        it.client.set_u64_observable_gauge("boxes", 4)
        gauges.clear()
        await it.signed_in_again(0, breaks(it)["half-open"])
        assert it.pool.connections[0].present is not present
        assert gauges == [("u64", "boxes", 4, ""), ("f64", "heat", 2.5, "of the room")]
