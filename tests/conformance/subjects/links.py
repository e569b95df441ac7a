"""Connections: sign-ins, refusals, the limit of messages, signs of life."""

import asyncio
import time
from typing import Any

from tests.conformance.facts import DOCUMENTED, CannotAsk, Table
from tests.conformance.ground import COLLECTION, Ground
from tests.conformance.sites import CALL, Login
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, OpenIAPError, RateLimited
from worker.openiap.native import NativeClient
from worker.openiap.native.transport import Times
from worker.openiap.types import ClientEvent, ConnectionOptions
from worker.openiap.wire import openiap_pb2 as pb

TABLE = Table("connections")
fact = TABLE.fact
BURSTS = (40, 160, 400)


async def refused_sign_in(on: Ground, login: Login) -> str:
    """Return how a sign-in is refused."""
    client = on.site.client(on.crew.lane, login)
    try:
        return await on.refusal(client.connect(timeout=CALL))
    finally:
        await client.disconnect()


@fact("Wrong credentials are refused.", "nobody-at-all failed logging in using local")
async def wrong_password(on: Ground) -> Any:
    return await refused_sign_in(on, Login("nobody-at-all", "wrong"))


@fact("A token that is none is refused.", True)
async def wrong_token(on: Ground) -> Any:
    lane = on.crew.lane
    options = ConnectionOptions(url=lane.url, jwt="no.token.this", http_url=on.site.http_url)
    client: Client = NativeClient(options)
    try:
        await client.connect(timeout=CALL)
    except AccessDenied:
        return True
    finally:
        await client.disconnect()
    return False


@fact("The token of a sign-in signs in.", True, source=DOCUMENTED)
async def token(on: Ground) -> Any:
    jwt, user = await on.client.signin(longtoken=True)
    if not jwt:
        raise CannotAsk("the sign-in returned no token")
    options = ConnectionOptions(url=on.crew.lane.url, jwt=jwt, http_url=on.site.http_url)
    client = NativeClient(options)
    try:
        await client.connect(timeout=CALL)
        return client.user is not None and user is not None and client.user.id == user.id
    finally:
        await client.disconnect()


@fact("A sign-in tells the user's id, name and roles.", [24, True, True], source=DOCUMENTED)
async def who(on: Ground) -> Any:
    user = on.client.user
    if user is None:
        return None
    return [len(user.id), user.username == on.site.first.username, "users" in user.roles]


@fact(
    "Too many messages in a second are refused at once, untouched; the connection stays.",
    {"counted": True, "connected": True, "again": True, "all counted": True},
    "native",
    once=True,
)
async def rate_limit(on: Ground) -> Any:
    client = on.site.client(on.crew.lane)
    group = on.name("burst")
    try:
        await client.connect(timeout=CALL)
        for burst in BURSTS:
            found = await asyncio.gather(
                *(client.insert_one(COLLECTION, on.document(g=group)) for _ in range(burst)),
                return_exceptions=True,
            )
            refused = [one for one in found if isinstance(one, RateLimited)]
            done = sum(isinstance(one, dict) for one in found)
            if refused:
                break
        else:
            raise CannotAsk(f"no limit was met with {BURSTS[-1]} messages at once")
        await asyncio.sleep(1.2)
        stored = await client.count(COLLECTION, {"g": group})
        return {
            "counted": all(one.points > 0 for one in refused),
            "connected": client.connected,
            "again": True,
            "all counted": stored >= done and stored < sum(BURSTS),
        }
    finally:
        await client.disconnect()
        await on.maker.delete_many(COLLECTION, {"g": group})


@fact("Signs of life (getelement) do not count.", 0, "native", once=True)
async def signs_of_life(on: Ground) -> Any:
    client = on.site.client(on.crew.lane)
    assert isinstance(client, NativeClient)
    try:
        await client.connect(timeout=CALL)
        session = client._link.session_for("probe")
        request, kind = pb.GetElementRequest(xpath="x"), pb.GetElementResponse
        found = await asyncio.gather(
            *(
                session.request("probe", "getelement", request, kind, CALL)
                for _ in range(BURSTS[1])
            ),
            return_exceptions=True,
        )
        return sum(isinstance(one, RateLimited) for one in found)
    finally:
        await client.disconnect()


@fact(
    "The server pings who asked for it at the sign-in, every 10 s, and nobody else.",
    [False, True],
    "native",
    once=True,
    seconds=120,
)
async def pings(on: Ground) -> Any:
    client = silent_client(on)
    try:
        await client.connect(timeout=CALL)
        found = []
        for ping in (False, True):
            await client.signin(ping=ping)
            await asyncio.sleep(1.0)
            heard = client.last_heard
            await asyncio.sleep(25.0)
            found.append(client.last_heard > heard)
        return found
    finally:
        await client.disconnect()


@fact(
    "Who did not ask for pings may be silent for a minute and a half.",
    True,
    "native",
    once=True,
    seconds=180,
)
async def silence(on: Ground) -> Any:
    client = silent_client(on)
    dropped = asyncio.Event()

    def told(event: ClientEvent) -> None:
        if event.event == "Disconnected":
            dropped.set()

    client.on_client_event(told)
    try:
        await client.connect(timeout=CALL)
        try:
            async with asyncio.timeout(90):
                await dropped.wait()
        except TimeoutError:
            return True
        return False
    finally:
        await client.disconnect()


def silent_client(on: Ground) -> NativeClient:
    """Return a client that never asks by itself whether the server is there."""
    options = on.site.client(on.crew.lane)._backend.options
    return NativeClient(options, times=Times(silence=1_000))


@fact(
    "Events tell of a connection, once each, and of its end.",
    ["Connected", "Connecting", "SignedIn"],
)
async def events(on: Ground) -> Any:
    client = on.site.client(on.crew.lane)
    told: list[str] = []
    client.on_client_event(lambda event: told.append(event.event))
    try:
        await client.connect(timeout=CALL)
        await asyncio.sleep(0.3)
    finally:
        await client.disconnect()
    return sorted(set(told) - {"Disconnected"})


@fact("A call after the end of a connection is refused at once.", True)
async def after_the_end(on: Ground) -> Any:
    client = on.site.client(on.crew.lane)
    await client.connect(timeout=CALL)
    await client.disconnect()
    began = time.monotonic()
    try:
        await client.count(COLLECTION, {})
    except OpenIAPError:
        return time.monotonic() - began < 2
    return False
