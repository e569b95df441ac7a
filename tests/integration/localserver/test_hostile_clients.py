"""A client cannot stop the server, nor guess its way in, nor use what was once its own."""

import asyncio
import contextlib
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.localserver.conftest import (
    USER,
    Connect,
    RawClient,
    Serve,
    ServerSaidError,
    WebsocketWire,
)
from worker import http_connection
from worker.localserver import LocalServer
from worker.localserver.operations import bounded, sign_ins, users
from worker.localserver.protocol import sessions, websocket
from worker.localserver.protocol.session import GUEST_MESSAGE, MOST_FAILED_SIGN_INS
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import build
from worker.openiap.wire.framing import frame

EXPIRED = "Discard signin due to invalid or expired jwt"
SOON = 60.0


async def until_closed(connection: Any) -> None:
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(SOON):
            while True:
                await connection.recv()


def modes(folder: Path) -> dict[str, int]:
    return {one.name: stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()}


@pytest.mark.parametrize("umask", [0o022, 0])
async def test_files_are_the_owners_alone_whatever_the_umask(
    serve: Serve, tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        server = await serve(data=tmp_path / "data.db", users={})
        during = modes(tmp_path)
        await server.stop()
    finally:
        os.umask(before)
    assert {"data.db", "data.db.user"} <= set(during)
    assert set(during.values()) | set(modes(tmp_path).values()) == {0o600}


async def test_files_that_others_could_read_are_closed_and_what_they_held_is_worthless(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    data = tmp_path / "data.db"
    server = await serve(data=data, users={})
    password, key = server.credentials[1], server.services.store.setting(users.SIGNING_KEY)
    client = await connect(server, signed_in=False)
    await client.sign_in(*server.credentials, longtoken=True)
    await server.stop()
    data.chmod(0o644)
    data.with_name("data.db.user").chmod(0o640)
    server = await serve(data=data, users={})
    assert set(modes(tmp_path).values()) == {0o600}
    assert server.services.store.setting(users.SIGNING_KEY) != key
    assert server.credentials[1] != password
    again = await connect(server, signed_in=False)
    with pytest.raises(ServerSaidError, match="invalid or expired jwt"):
        await again.ask("signin", pb.SigninRequest(jwt=client.jwt))


async def token_of(server: LocalServer, connect: Connect, name: str, password: str) -> str:
    client = await connect(server, signed_in=False)
    await client.sign_in(name, password, longtoken=True)
    return client.jwt


async def refused(server: LocalServer, connect: Connect, **request: Any) -> str:
    client = await connect(server, signed_in=False)
    with pytest.raises(ServerSaidError) as said:
        await client.ask("signin", pb.SigninRequest(**request))
    return str(said.value)


async def test_who_is_named_at_this_start_may_sign_in_and_nobody_else(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    data = tmp_path / "data.db"
    server = await serve(data=data, users={"me": "secret-one"})
    userid = (await (await connect(server, signed_in=False)).sign_in("me", "secret-one")).user._id
    token = await token_of(server, connect, "me", "secret-one")
    await server.stop()
    server = await serve(data=data, users={"admin": "strong-one"})
    await token_of(server, connect, "admin", "strong-one")
    for request in ({"username": "me", "password": "secret-one"}, {"jwt": token}):
        assert "failed logging in" in (said := await refused(server, connect, **request)) or (
            EXPIRED in said
        )
    assert "failed" in await refused(server, connect, username="me", password="")
    await server.stop()
    server = await serve(data=data, users={"me": "secret-one"})
    signed_in = await (await connect(server, signed_in=False)).sign_in("me", "secret-one")
    assert signed_in.user._id == userid  # what was theirs is theirs again


async def test_a_token_dies_with_its_password_and_with_its_user(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    data = tmp_path / "data.db"
    server = await serve(data=data, users={"me": "secret-one", "you": "secret-two"})
    mine = await token_of(server, connect, "me", "secret-one")
    yours = await token_of(server, connect, "you", "secret-two")
    await server.stop()
    server = await serve(data=data, users={"me": "another-one", "you": "secret-two"})
    assert EXPIRED in await refused(server, connect, jwt=mine)
    client = await connect(server, signed_in=False)
    userid = (await client.ask("signin", pb.SigninRequest(jwt=yours))).user._id
    await client.ask("deleteone", pb.DeleteOneRequest(collectionname="users", id=userid))
    assert EXPIRED in await refused(server, connect, jwt=yours)


async def test_a_token_that_was_made_elsewhere_is_refused(serve: Serve, connect: Connect) -> None:
    server = await serve()
    client = await connect(server)
    claims = jwt.decode(client.jwt, options={"verify_signature": False})
    key = server.services.store.setting(users.SIGNING_KEY)
    assert key is not None
    for forged in (
        jwt.encode(claims, "another key of thirty-two letters..", algorithm="HS256"),
        jwt.encode(claims, None, algorithm="none"),
        jwt.encode({**claims, "data": {**claims["data"], "stamp": "x"}}, key, algorithm="HS256"),
        jwt.encode({**claims, "data": {"_id": "x", "username": USER}}, key, algorithm="HS256"),
    ):
        assert EXPIRED in await refused(server, connect, jwt=forged)


async def test_a_flood_of_sign_ins_ends_its_connection_and_keeps_nobody_out(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    real = sign_ins.verify_password

    def counting(known: users.Credentials, password: str) -> bool:
        checked.append(password)
        return real(known, password)

    monkeypatch.setattr(sign_ins, "verify_password", counting)
    server = await serve()
    async with connect_websocket(f"{server.ws_url}/ws/v2", proxy=None) as flood:
        guesses = [
            build("signin", pb.SigninRequest(username=USER, password=f"{n}"), id=str(n), seq=n)
            for n in range(3000)
        ]
        await flood.send(b"".join(frame(one.SerializeToString()) for one in guesses[:400]))
        began = time.monotonic()
        client = await connect(server)
        assert time.monotonic() - began < 30
        assert (await client.query("users", {"username": USER}))[0]["username"] == USER
        await until_closed(flood)
    assert len(checked) <= 3


async def test_a_connection_may_fail_a_few_times(serve: Serve, connect: Connect) -> None:
    server = await serve()
    client = await connect(server, signed_in=False)
    for _ in range(MOST_FAILED_SIGN_INS):
        with pytest.raises(ServerSaidError, match="failed logging in"):
            await client.sign_in(USER, "wrong")
    await asyncio.wait_for(client.closed.wait(), SOON)
    honest = await connect(server, signed_in=False)
    with pytest.raises(ServerSaidError):
        await honest.sign_in(USER, "wrong")
    await honest.sign_in()


@pytest.mark.dear
async def test_a_flood_over_many_connections_is_slowed_and_an_honest_one_gets_through(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "COST", 2**8)
    server = await serve()
    clients = [await connect(server, signed_in=False) for _ in range(45)]

    async def guess(client: RawClient) -> str:
        try:
            await client.sign_in(USER, "wrong")
        except (ServerSaidError, ConnectionResetError) as said:
            return str(said)
        return "signed in"

    began = time.monotonic()
    said = [*await asyncio.gather(*map(guess, clients))]
    said += await asyncio.gather(*map(guess, clients))
    took = time.monotonic() - began
    assert "signed in" not in said
    assert any(text.startswith("Too many sign-ins") for text in said)
    failed = sum("failed logging in" in text for text in said)
    assert took > (failed - sign_ins.MOST_FAILED - 1) * sign_ins.SLOW_EVERY
    began = time.monotonic()
    await (await connect(server, signed_in=False)).sign_in()
    assert time.monotonic() - began < 30


async def test_names_cannot_be_told_by_time(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[int] = []
    real = users._hash
    monkeypatch.setattr(
        users, "_hash", lambda password, salt: hashed.append(len(salt)) or real(password, salt)
    )
    server = await serve()
    hashed.clear()
    client = await connect(server, signed_in=False)
    for name in (USER, "nobody", " ", "x" * 1000):
        with pytest.raises(ServerSaidError) as said:
            await client.sign_in(name, "wrong")
        assert len(str(said.value)) < 200
    assert hashed == [16] * 4


async def test_a_guests_message_is_small_and_a_users_may_be_large(
    serve: Serve, connect: Connect
) -> None:
    server = await serve()
    large = pb.GetElementRequest(xpath="x" * (GUEST_MESSAGE + 1))
    for transport in ("ws", "grpc"):
        guest = await connect(server, transport, signed_in=False)
        await guest.start("getelement", large)
        await asyncio.wait_for(guest.closed.wait(), SOON)
        user = await connect(server, transport)
        assert len((await user.ask("getelement", large)).xpath) == GUEST_MESSAGE + 1


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_guests_unfinished_frame_costs_little_memory(serve: Serve, at_once: bool) -> None:
    server = await serve()
    async with connect_websocket(f"{server.ws_url}/ws/v2", proxy=None, max_queue=None) as guest:
        with contextlib.suppress(ConnectionClosed):
            if at_once:
                await guest.send((60 * 1024 * 1024).to_bytes(4, "little"))
            else:
                await guest.send(b"x" * 1024 for _ in range(10_000))
        await until_closed(guest)


async def test_a_client_that_does_not_read_is_not_sent_to_without_end(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MOST_UNREAD", 2 * 1024 * 1024)
    server = await serve()
    async with connect_websocket(f"{server.ws_url}/ws/v2", proxy=None) as deaf:
        lazy = RawClient(WebsocketWire(deaf))
        await lazy.sign_in()
        await lazy.ask("registerqueue", pb.RegisterQueueRequest(queuename="events"))
        lazy._reader.cancel()
        deaf.transport.pause_reading()
        sender = await connect(server)
        message = pb.QueueMessageRequest(queuename="events", data=f'"{"x" * 500_000}"')
        sent = 0
        with contextlib.suppress(ServerSaidError):  # nobody listens any more
            async with asyncio.timeout(SOON):
                while sent < 200:
                    await sender.ask("queuemessage", message)
                    sent += 1
        deaf.transport.resume_reading()
        await asyncio.wait_for(deaf.wait_closed(), SOON)
    assert await sender.query("users", {"username": USER})


@pytest.mark.dear
async def test_who_does_not_read_replies_is_not_listened_to(serve: Serve, connect: Connect) -> None:
    server = await serve()
    user = await connect(server)
    await user.insert("c", {"text": "x" * 900_000})
    async with connect_websocket(f"{server.ws_url}/ws/v2", proxy=None) as deaf:
        lazy = RawClient(WebsocketWire(deaf))
        await lazy.sign_in()
        lazy._reader.cancel()
        deaf.transport.pause_reading()
        before = server.stats.get("query", 0)
        async with asyncio.timeout(SOON):
            for _ in range(200):
                await lazy.start("query", pb.QueryRequest(collectionname="c", query="{}"))
                await user.ask("getelement", pb.GetElementRequest())
        assert server.stats["query"] - before < 60
    assert await user.query("users", {"username": USER})


def request_of(command: str, text: Any) -> Any:
    """Return what asks for something on collection ``c``."""
    asked = json.dumps(text)
    makers: dict[str, Callable[[], Any]] = {
        "query": lambda: pb.QueryRequest(collectionname="c", query=asked),
        "count": lambda: pb.CountRequest(collectionname="c", query=asked),
        "aggregate": lambda: pb.AggregateRequest(collectionname="c", aggregates=asked),
        "updatedocument": lambda: pb.UpdateDocumentRequest(
            collectionname="c", query="{}", document=asked
        ),
    }
    return makers[command]()


ENDLESS = "(a|aa)+$"


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("query", {"t": {"$regex": ENDLESS}}),
        ("query", {"$or": [{"t": {"$regex": "(A|AA)+$", "$options": "i"}}]}),
        ("query", {"t": {"$regex": "a" * 2000}}),
        ("query", {"t": {"$regex": "(" * 900}}),
        ("count", {"t": {"$not": {"$regex": ENDLESS}}}),
        ("aggregate", [{"$skip": 0}, {"$match": {"t": {"$regex": ENDLESS}}}]),
        ("aggregate", [{"$project": {"x": {"$regexMatch": {"input": "$t", "regex": ENDLESS}}}}]),
        ("updatedocument", {"$pull": {"l": {"$regex": ENDLESS}}}),
    ],
)
async def test_a_regular_expression_does_not_stop_the_server(
    serve: Serve, connect: Connect, command: str, text: Any
) -> None:
    request = request_of(command, text)
    server = await serve()
    client, other = await connect(server), await connect(server)
    for _ in range(3):
        await client.insert("c", {"t": "a" * 80 + "b", "l": ["a" * 80 + "b"]})
    began = time.monotonic()
    with pytest.raises(ServerSaidError, match=r"egular expression|regex"):
        await client.ask(command, request)
    await other.ask("getelement", pb.GetElementRequest())
    assert time.monotonic() - began < 30


NUMBERS = list(range(300))
DOUBLED = {"$addFields": {"t": {"$concat": ["$t", "$t"]}}}


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("aggregate", [DOUBLED] * 40),
        ("aggregate", [{"$skip": 0}, *[{"$unwind": field} for field in ("$l", "$m", "$n")]]),
        ("updatedocument", {"$set": {"l.100000000": 1}}),
        ("updatedocument", {"$inc": {"o.deep.99999999999999.x": 1}}),
        ("updatedocument", {"$set": {f"l.{place}": 1 for place in range(90_000, 90_100)}}),
    ],
    ids=["text", "documents", "places", "deep", "many"],
)
async def test_what_grows_without_bound_does_not_stop_the_server(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, command: str, text: Any
) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.5)
    request = request_of(command, text)
    server = await serve()
    client, other = await connect(server), await connect(server)
    lists = {"l": NUMBERS, "m": NUMBERS, "n": NUMBERS, "o": {"deep": []}}
    await client.insert("c", {"_id": "d", "t": "a", **lists})
    began = time.thread_time()
    with pytest.raises(ServerSaidError, match=r"aggregation|backfill"):
        await client.ask(command, request)
    await other.ask("getelement", pb.GetElementRequest())
    assert time.thread_time() - began < 5
    assert [{"_id": "d", "t": "a", **lists}] == [
        {key: one[key] for key in ("_id", "t", *lists)} for one in await other.query("c", {})
    ]


async def test_numbers_that_are_names_and_places_near_the_end_are_written(
    serve: Serve, connect: Connect
) -> None:
    client = await connect(await serve())
    await client.insert("c", {"_id": "d", "names": {}, "places": [1]})
    change = {"$set": {"names.123456789": 1, "places.3": 4}}
    request = pb.UpdateDocumentRequest(
        collectionname="c", query='{"_id": "d"}', document=json.dumps(change)
    )
    await client.ask("updatedocument", request)
    (found,) = await client.query("c", {})
    assert (found["names"], found["places"]) == ({"123456789": 1}, [1, None, None, 4])


async def test_ordinary_regular_expressions_work(serve: Serve, connect: Connect) -> None:
    client = await connect(await serve())
    for name in ("Apple", "apple pie", "pear"):
        await client.insert("c", {"name": name, "tags": [name]})
    for query, found in (
        ({"name": {"$regex": "^apple"}}, ["apple pie"]),
        ({"name": {"$regex": "^apple", "$options": "i"}}, ["Apple", "apple pie"]),
        ({"name": {"$not": {"$regex": "apple"}}}, ["Apple", "pear"]),
        ({"tags": {"$regex": "ear"}}, ["pear"]),
        ({"name": {"$regex": "apple", "$ne": "apple pie"}}, []),
    ):
        assert [one["name"] for one in await client.query("c", query)] == found


async def test_slow_connections_are_ended_and_others_answered(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "REQUEST_WITHIN", 0.5)
    monkeypatch.setattr(http_connection, "MOST_PER_ADDRESS", 40)
    server = await serve()
    slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(40)]
    for _, writer in slow:
        writer.write(b"GET /config HTTP/1.1\r\nX: ")
    reader, _ = await asyncio.open_connection("127.0.0.1", server.port)
    for one in (reader, *(one for one, _ in slow)):  # one too many is ended as well
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(one.read(), SOON) == b""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b" 200 OK" in await asyncio.wait_for(reader.read(), SOON)


async def test_a_connection_goes_on_for_as_long_as_its_requests_come_in_time(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "REQUEST_WITHIN", 0.4)
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    request = b"GET /config HTTP/1.1\r\nHost: x\r\n\r\n"
    until = time.monotonic() + 3 * http_connection.REQUEST_WITHIN
    while time.monotonic() < until:
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SOON)
        assert b" 200 OK" in head
        length = int(head.lower().split(b"content-length:")[1].split()[0])
        await asyncio.wait_for(reader.readexactly(length), SOON)
        await asyncio.sleep(0.02)  # the pace of a client that asks now and then
    writer.write(request + request[:20])  # the second never ends
    assert (await asyncio.wait_for(reader.read(), SOON)).count(b" 200 OK") == 1


async def test_guests_are_few_per_address_and_not_for_ever(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_GUESTS", 3)
    server = await serve(ping_interval=0.2)
    users_there = [await connect(server) for _ in range(4)]
    guests = [await connect(server, signed_in=False) for _ in range(3)]
    with pytest.raises(InvalidStatus, match="503"):
        await connect_websocket(f"{server.ws_url}/ws/v2", proxy=None)
    server.services.options.signin_limit = 0.0
    for guest in guests:
        await asyncio.wait_for(guest.closed.wait(), SOON)
    assert not any(user.closed.is_set() for user in users_there)
    await connect(server)
