"""Connections: numbering, pings, sign-in, errors, limits; over both transports."""

import asyncio
import json
import urllib.request
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import InvalidStatus

from worker.localserver import LocalServer
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import build
from worker.openiap.wire.framing import frame

DEADLINE = 60.0


async def test_first_message_is_a_ping_and_replies_name_their_request(
    server: LocalServer, connect: Any, transport: str
) -> None:
    client = await connect(server, transport, signed_in=False)
    first = await asyncio.wait_for(client.events.get(), DEADLINE)
    assert (first.command, first.seq) == ("ping", 0)

    reply = await client.envelope("getelement", pb.GetElementRequest(xpath="there?"))
    assert reply.command == "getelement"
    assert pb.GetElementResponse.FromString(reply.data.value).xpath == "there?"

    signed = await client.envelope("signin", pb.SigninRequest(username="x", password="y"))
    assert signed.command == "error"


async def test_sign_in_by_password_and_by_token(
    server: LocalServer, connect: Any, transport: str
) -> None:
    client = await connect(server, transport)
    assert client.jwt
    other = await connect(server, transport, signed_in=False)
    reply = await other.ask("signin", pb.SigninRequest(jwt=client.jwt))
    assert reply.user.username == "tester"
    assert [role.name for role in reply.user.roles] == ["admins", "users"]
    assert json.loads(reply.config)["supports_watch"] is True
    await other.queue("by-token")


async def test_wrong_credentials_are_refused_in_openiaps_words(
    server: LocalServer, connect: Any
) -> None:
    client = await connect(server, signed_in=False)
    with pytest.raises(Exception, match=r"^tester failed logging in using local$"):
        await client.sign_in("tester", "wrong")
    with pytest.raises(Exception, match=r"^nobody failed logging in using local$"):
        await client.sign_in("nobody", "correct horse")
    with pytest.raises(Exception, match=r"^Username cannot be null$"):
        await client.sign_in("", "correct horse")
    expected = r"^Discard signin due to invalid or expired jwt for client at test 1\.2$"
    with pytest.raises(Exception, match=expected):
        await client.ask("signin", pb.SigninRequest(jwt="a.b.c", agent="test", version="1.2"))


async def test_only_validating_does_not_sign_in(server: LocalServer, connect: Any) -> None:
    client = await connect(server, signed_in=False)
    assert (await client.sign_in(validateonly=True)).jwt
    with pytest.raises(Exception, match=r"Not signed in"):
        await client.pop("any")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("query", pb.QueryRequest(collectionname="users")),
        ("popworkitem", pb.PopWorkitemRequest(wiq="x")),
        ("registerqueue", pb.RegisterQueueRequest()),
        ("upload", pb.UploadRequest(filename="x")),
    ],
)
async def test_guests_may_do_nothing(
    server: LocalServer, connect: Any, command: str, message: Any
) -> None:
    client = await connect(server, signed_in=False)
    with pytest.raises(Exception, match=r"^Not signed in, and missing jwt$"):
        await client.ask(command, message)


async def test_a_token_on_a_command_acts_as_its_user(serve: Any, connect: Any) -> None:
    server = await serve(users={"tester": "correct horse", "other": "staple"})
    client = await connect(server)
    other = await connect(server, signed_in=False)
    token = (await other.sign_in("other", "staple")).jwt
    reply = await client.ask(
        "insertone", pb.InsertOneRequest(collectionname="c", item="{}"), jwt=token
    )
    assert json.loads(reply.result)["_createdby"] == "other"
    with pytest.raises(Exception, match=r"^invalid jwt$"):
        await client.ask("query", pb.QueryRequest(collectionname="c"), jwt="nonsense")


async def test_a_number_that_does_not_rise_ends_a_websocket(
    server: LocalServer, connect: Any
) -> None:
    client = await connect(server)
    again = build("getelement", pb.GetElementRequest(), id="again", seq=0)
    await client.wire.send(again.SerializeToString())
    await asyncio.wait_for(client.closed.wait(), DEADLINE)


async def test_unknown_and_unsupported_commands_are_named_and_the_connection_stays(
    client: Any,
) -> None:
    envelope = build("createworkflowinstance", pb.GetElementRequest(xpath="x"))
    envelope.data.type_url = "type.googleapis.com/openiap.CreateWorkflowInstanceRequest"
    envelope.id = "odd"
    waiting: asyncio.Future[pb.Envelope] = asyncio.get_running_loop().create_future()
    client._waiting["odd"] = waiting
    await client.send(envelope)
    reply = await asyncio.wait_for(waiting, DEADLINE)
    said = pb.ErrorResponse.FromString(reply.data.value)
    assert said.message == "no such type: openiap.CreateWorkflowInstanceRequest"

    with pytest.raises(Exception, match=r"does not support the custom command startagent"):
        await client.ask("customcommand", pb.CustomCommandRequest(command="startagent"))
    reply = await client.ask("customcommand", pb.CustomCommandRequest(command="restartpods"))
    assert reply.result == "", "OpenIAP answers what it does not know as if it had done it"
    with pytest.raises(Exception, match=r"^Unknown command dance$"):
        await client.ask("dance", None)
    assert await client.ask("getelement", pb.GetElementRequest())


async def test_bytes_that_are_no_message_are_answered_or_end_the_connection(
    server: LocalServer, connect: Any, transport: str
) -> None:
    client = await connect(server, transport)
    envelope = build("popworkitem", pb.GetElementRequest())
    envelope.data.value = b"\xff\xff\xff"
    envelope.id = "bad"
    waiting: asyncio.Future[pb.Envelope] = asyncio.get_running_loop().create_future()
    client._waiting["bad"] = waiting
    await client.send(envelope)
    reply = await asyncio.wait_for(waiting, DEADLINE)
    assert reply.command == "error"

    await client.wire.send(b"\x01\x02 this is no envelope")
    await asyncio.wait_for(client.closed.wait(), DEADLINE)
    await (await connect(server)).queue("the-others-do-not-notice")


async def test_frames_may_come_in_pieces_and_together(server: LocalServer, connect: Any) -> None:
    client = await connect(server)
    first = await client.start("getelement", None)
    client._waiting.pop(next(reversed(client._waiting)))
    first.cancel()
    bodies = []
    for number in range(3):
        request = build("getelement", pb.GetElementRequest(xpath=str(number)), id=f"p{number}")
        request.seq = next(client._seq)
        client._waiting[request.id] = asyncio.get_running_loop().create_future()
        bodies.append(frame(request.SerializeToString()))
    expected = [client._waiting[f"p{number}"] for number in range(3)]
    # The length alone and the body alone, as clients of the 0.0.37 generation do; then two at once.
    await client.wire._connection.send(bodies[0][:4])
    await client.wire._connection.send(bodies[0][4:])
    await client.wire._connection.send(bodies[1] + bodies[2])
    for number, waiting in enumerate(expected):
        reply = await asyncio.wait_for(waiting, DEADLINE)
        assert pb.GetElementResponse.FromString(reply.data.value).xpath == str(number)


async def test_a_message_in_fragments_keeps_its_place_among_the_whole(
    server: LocalServer, connect: Any
) -> None:
    client = await connect(server)
    bodies = []
    for number in range(3):
        request = build("getelement", pb.GetElementRequest(xpath=str(number)), id=f"odd{number}")
        request.seq = next(client._seq)
        client._waiting[request.id] = asyncio.get_running_loop().create_future()
        bodies.append(frame(request.SerializeToString()))
    waiting = [client._waiting[f"odd{number}"] for number in range(3)]
    websocket = client.wire._connection
    await websocket.send(bodies[0])
    await websocket.send([bodies[1][:7], bodies[1][7:20], bodies[1][20:]])  # one message
    await websocket.ping()
    await websocket.send(bodies[2])
    replies = await asyncio.wait_for(asyncio.gather(*waiting), DEADLINE)
    said = [pb.GetElementResponse.FromString(reply.data.value).xpath for reply in replies]
    assert said == ["0", "1", "2"]
    assert [reply.seq for reply in replies] == sorted(reply.seq for reply in replies)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x82\x05naked", 1002),  # a client has to mask what it sends
        (b"\xc2\x80abcd", 1002),  # a reserved bit
        (b"\x82\xff" + (1 << 40).to_bytes(8, "big"), 1009),  # more than anybody sends
    ],
)
async def test_frames_that_break_the_rules_end_the_connection(
    server: LocalServer, connect: Any, sent: bytes, code: int
) -> None:
    client = await connect(server)
    websocket = client.wire._connection
    websocket.transport.write(sent)
    await asyncio.wait_for(client.closed.wait(), DEADLINE)
    await asyncio.wait_for(websocket.wait_closed(), DEADLINE)
    assert websocket.close_code == code


async def test_text_is_none_of_the_protocol(server: LocalServer, connect: Any) -> None:
    client = await connect(server)
    await client.wire._connection.send("hello")
    await asyncio.wait_for(client.closed.wait(), DEADLINE)


async def test_a_goodbye_is_answered(server: LocalServer, connect: Any) -> None:
    client = await connect(server)
    await asyncio.wait_for(client.wire.close(), DEADLINE)
    assert client.wire._connection.close_code == 1000


@pytest.mark.parametrize("apart", [False, True])
async def test_replies_are_framed_as_the_client_frames_its_requests(
    server: LocalServer, apart: bool
) -> None:
    """The Python client 0.0.37 reads a length and a body, each a websocket message."""
    async with connect_websocket(
        f"{server.ws_url}/ws/v2", open_timeout=DEADLINE, ping_interval=None
    ) as raw:
        assert len(await raw.recv()) == 4, "before anything is known the ping comes in two"
        await raw.recv()
        whole = frame(build("getelement", id="1").SerializeToString())
        for part in (whole[:4], whole[4:]) if apart else (whole,):
            await raw.send(part)
        first = await asyncio.wait_for(raw.recv(), DEADLINE)
        assert (len(first) == 4) is apart
        if not apart:
            return
        body = await asyncio.wait_for(raw.recv(), DEADLINE)
        assert len(body) == int.from_bytes(first, "little")


async def test_the_rate_limit_refuses_at_once_and_executes_nothing(
    serve: Any, connect: Any
) -> None:
    server = await serve(rate_limit=30)
    client = await connect(server)
    await client.queue("limited")
    waiting = [
        await client.start("pushworkitem", pb.PushWorkitemRequest(wiq="limited", payload="{}"))
        for _ in range(300)
    ]
    replies = [await asyncio.wait_for(one, DEADLINE) for one in waiting]
    refused = [one for one in replies if one.command == "error"]
    assert refused
    texts = [pb.ErrorResponse.FromString(one.data.value).message for one in refused]
    assert texts[0] == "Rate limit exceeded consumedPoints: 31"

    other = await connect(server)
    count = await other.ask("count", pb.CountRequest(collectionname="workitems", query="{}"))
    assert count.result == 300 - len(refused)
    assert server.stats["ratelimited"] == len(refused)
    for _ in range(40):
        await other.ask("getelement", pb.GetElementRequest())
    for number in range(16):
        uploaded = await other.upload(f"{number}", b"x")
        assert await other.download(uploaded.id) == b"x"
    assert server.stats["ratelimited"] == len(refused), "none of these counts"

    # The window is over a second later and the connection still serves.
    async with asyncio.timeout(DEADLINE):
        while True:
            request = pb.CountRequest(collectionname="mq", query="{}")
            reply = await client.envelope("count", request)
            if reply.command != "error":
                break
            await asyncio.sleep(0.2)


async def test_the_server_pings_those_who_asked_renews_tokens_and_drops_the_silent(
    serve: Any, connect: Any
) -> None:
    server = await serve(ping_interval=0.05, silence_limit=60.0, token_lifetime=0.0)
    client = await connect(server)
    assert (await client.events.get()).command == "ping"
    renewed = await client.event("refreshtoken")
    for _ in range(3):  # as often as it looks, and no ping between
        assert (await client.events.get()).command == "refreshtoken"
    assert renewed.username == "tester"
    assert renewed.jwt not in ("", client.jwt)
    assert renewed.user.username == "tester"

    strict = await serve(ping_interval=0.05)
    unasked, silent = await connect(strict), await connect(strict, signed_in=False)
    await silent.sign_in(ping=True)
    for _ in range(3):  # the greeting, and two more
        await silent.event("ping")

    async def say_nothing(envelope: pb.Envelope) -> None:
        return

    silent.send = say_nothing
    strict.services.options.silence_limit = 0.3  # only now: before, silence was the machine's
    await asyncio.wait_for(silent.closed.wait(), DEADLINE)
    assert (await unasked.events.get()).command == "ping"
    assert unasked.events.empty()
    assert not unasked.closed.is_set()


async def test_who_does_not_sign_in_is_dropped(serve: Any, connect: Any) -> None:
    said: list[str] = []
    server = await serve(ping_interval=0.05, log=said.append)
    known, unknown = await connect(server), await connect(server, signed_in=False)
    assert server.services.options.signin_limit == 120
    server.services.options.signin_limit = 0.3
    await asyncio.wait_for(unknown.closed.wait(), DEADLINE)
    assert said == ["connection closed: the client did not sign in"]
    await known.ask("getelement", pb.GetElementRequest())
    assert not known.closed.is_set()


async def test_a_renewed_token_is_good_and_an_old_one_is_not(serve: Any, connect: Any) -> None:
    now = 1_800_000_000.0
    server = await serve(clock=lambda: now, token_lifetime=300.0)
    client = await connect(server)
    long = (await client.sign_in(longtoken=True)).jwt
    short = (await client.sign_in()).jwt
    now += 301
    other = await connect(server, signed_in=False)
    with pytest.raises(Exception, match=r"^Discard signin due to invalid or expired jwt"):
        await other.ask("signin", pb.SigninRequest(jwt=short))
    assert (await other.ask("signin", pb.SigninRequest(jwt=long))).user.username == "tester"
    # A connection stays signed in beyond its token's time, as on OpenIAP.
    await client.queue("still-here")


async def test_the_configuration_is_told_before_sign_in(serve: Any) -> None:
    def config(server: LocalServer) -> dict[str, Any]:
        with urllib.request.urlopen(f"{server.http_url}/config", timeout=DEADLINE) as reply:
            return dict(json.load(reply))

    told = await asyncio.to_thread(config, await serve())
    assert told["supports_watch"] is True
    assert told["enable_analytics"] is False
    assert told["amqp_enabled_exchange"] is True
    assert told["pops_compete"] is False
    assert told["domain"]
    assert told["version"]
    assert "otel_metric_url" not in told
    competing = await serve(pops_compete=True, otel_metric_url="http://127.0.0.1:4317")
    told = await asyncio.to_thread(config, competing)
    assert "pops_compete" not in told
    assert told["otel_metric_url"] == "http://127.0.0.1:4317"


async def test_dropped_connections_are_gone_and_new_ones_are_welcome(
    server: LocalServer, connect: Any, transport: str
) -> None:
    client = await connect(server, transport)
    await server.drop_connections()
    await asyncio.wait_for(client.closed.wait(), DEADLINE)
    again = await connect(server, transport)
    await again.queue(f"after-{transport}")


async def test_a_websocket_elsewhere_is_refused(server: LocalServer) -> None:
    with pytest.raises(InvalidStatus):
        async with connect_websocket(f"{server.ws_url}/elsewhere", open_timeout=DEADLINE):
            pass


async def test_times_travel_in_milliseconds(client: Any) -> None:
    await client.queue("times")
    pushed = await client.push("times", nextrun=Timestamp(seconds=1_700_000_000, nanos=123_456_789))
    assert (pushed.nextrun.seconds, pushed.nextrun.nanos) == (1_700_000_000, 123_000_000)
