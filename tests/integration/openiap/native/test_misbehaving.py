"""A server that sends nonsense costs a connection, never the client."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.openiap.native.conftest import (
    DEADLINE,
    Clients,
    Peer,
    ScriptedServer,
    answer_usual,
)
from worker.openiap.errors import Disconnected, OpenIAPError, ServerError
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.framing import LENGTH, frame

GARBAGE = {
    "no envelope": frame(b"\xff" * 40),
    "a length beyond all measure": b"\xff\xff\xff\xff rest",
    "text": "not bytes at all",
}


@pytest.mark.parametrize("nonsense", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_ends_the_link_and_a_new_one_is_made(
    clients: Clients, scripted: ScriptedServer, nonsense: bytes | str
) -> None:
    watched = await clients.connected(scripted.url)
    call = asyncio.create_task(watched.client.pop_workitem("q", timeout=600))
    await scripted.peer.wait_for("popworkitem")
    await scripted.peer.raw(nonsense)  # type: ignore[attr-defined]
    with pytest.raises(Disconnected, match="not the OpenIAP protocol"):
        async with asyncio.timeout(DEADLINE):
            await call
    await watched.until("SignedIn", 2)
    await watched.client.probe()


async def test_garbage_over_grpc_ends_the_link_and_a_new_one_is_made(
    clients: Clients, scripted_grpc: ScriptedServer
) -> None:
    watched = await clients.connected(scripted_grpc.url)
    await scripted_grpc.peer.write(b"\xff" * 40)
    lost = await watched.until("Disconnected", 1)
    assert "not the OpenIAP protocol" in lost.reason
    await watched.until("SignedIn", 2)
    await watched.client.probe()


async def test_a_stream_cut_over_grpc_fails_calls_at_once(
    clients: Clients, scripted_grpc: ScriptedServer
) -> None:
    watched = await clients.connected(scripted_grpc.url)
    call = asyncio.create_task(watched.client.pop_workitem("q", timeout=600))
    await scripted_grpc.peer.wait_for("popworkitem")
    await scripted_grpc.peer.cut()
    with pytest.raises(Disconnected):
        async with asyncio.timeout(DEADLINE):
            await call
    await watched.until("SignedIn", 2)


async def test_a_reply_that_cannot_be_decoded_fails_its_call_and_the_link(
    clients: Clients, scripted: ScriptedServer
) -> None:
    async def broken(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "count":
            bad = pb.Envelope(command="countreply", rid=envelope.id, seq=peer.seq)
            bad.data.value = b"\xff\xff"
            await peer.write(bad.SerializeToString())
            return
        await answer_usual(peer, envelope)

    scripted.answer = broken
    watched = await clients.connected(scripted.url)
    with pytest.raises(Disconnected, match="CountResponse"):
        await watched.client.count("things")
    await watched.until("SignedIn", 2)


async def test_half_frames_and_frames_in_pieces_are_put_together(
    clients: Clients, scripted: ScriptedServer
) -> None:
    async def pieces(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command != "count":
            await answer_usual(peer, envelope)
            return
        body = peer.encoded("countreply", pb.CountResponse(result=42), envelope.id)
        data = frame(peer.encoded("ping")) + frame(body) + frame(peer.encoded("ping"))
        for at in range(0, len(data), 3):
            await peer.raw(data[at : at + 3])  # type: ignore[attr-defined]

    scripted.answer = pieces
    watched = await clients.connected(scripted.url)
    assert await watched.client.count("things") == 42
    await scripted.peer.wait_for("pong", times=3)


async def test_length_and_body_may_come_as_two_messages(
    clients: Clients, scripted: ScriptedServer
) -> None:
    async def older(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command != "count":
            await answer_usual(peer, envelope)
            return
        body = peer.encoded("countreply", pb.CountResponse(result=7), envelope.id)
        await peer.raw(LENGTH.pack(len(body)))  # type: ignore[attr-defined]
        await peer.raw(body)  # type: ignore[attr-defined]

    scripted.answer = older
    watched = await clients.connected(scripted.url)
    assert await watched.client.count("things") == 7


async def test_the_servers_numbers_are_the_servers_business(
    clients: Clients, scripted: ScriptedServer
) -> None:
    # Only the server ends a connection for them (protocol.md, Envelope).
    async def stuck(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command != "count":
            await answer_usual(peer, envelope)
            return
        await peer.send("countreply", pb.CountResponse(result=3), envelope.id, seq=0)

    scripted.answer = stuck
    watched = await clients.connected(scripted.url)
    assert await watched.client.count("things") == 3
    assert await watched.client.count("things") == 3
    assert watched.names() == ["Connecting", "Connected", "SignedIn"]


async def test_replies_to_nobody_and_unknown_commands_do_no_harm(
    clients: Clients, scripted: ScriptedServer
) -> None:
    watched = await clients.connected(scripted.url)
    peer = scripted.peer
    await peer.send("countreply", pb.CountResponse(result=3), "nobody")
    await peer.send("error", pb.ErrorResponse(message="x"), "nobody")
    await peer.send("dance", None)
    await peer.send("stream", pb.Stream(data=b"x"), "nobody")
    await peer.send("queueevent", pb.QueueEvent(queuename="unknown", data="{"))
    await peer.send("watchevent", pb.WatchEvent(id="unknown", document="{"))
    await peer.send("beginstream", None)
    await watched.client.probe()
    assert watched.names() == ["Connecting", "Connected", "SignedIn"]


async def test_an_error_without_a_text_is_an_error(
    clients: Clients, scripted: ScriptedServer
) -> None:
    async def terse(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "deleteworkitem":
            await peer.send("error", None, envelope.id)
            return
        await answer_usual(peer, envelope)

    scripted.answer = terse
    watched = await clients.connected(scripted.url)
    with pytest.raises(ServerError, match="no reason") as caught:
        await watched.client.delete_workitem("7")
    assert (caught.value.operation, caught.value.item_id) == ("delete_workitem", "7")


async def test_an_answer_that_is_no_json_is_an_error_of_its_call_only(
    clients: Clients, scripted: ScriptedServer
) -> None:
    async def odd(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "query":
            await peer.send("queryreply", pb.QueryResponse(results="[{"), envelope.id)
            return
        await answer_usual(peer, envelope)

    scripted.answer = odd
    watched = await clients.connected(scripted.url)
    with pytest.raises(ServerError, match="not JSON"):
        await watched.client.query("things")
    await watched.client.probe()
    assert watched.names() == ["Connecting", "Connected", "SignedIn"]


async def test_a_download_cut_in_the_middle_leaves_no_part_behind(
    clients: Clients, scripted: ScriptedServer, tmp_path: Path
) -> None:
    async def cutting(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "query":
            found = '[{"_id":"1","filename":"a.bin","length":3000}]'
            await peer.send("queryreply", pb.QueryResponse(results=found), envelope.id)
        elif envelope.command == "download":
            await peer.send("beginstream", pb.BeginStream(), envelope.id)
            await peer.send("stream", pb.Stream(data=b"x" * 1000), envelope.id)
            await peer.cut()
        else:
            await answer_usual(peer, envelope)

    scripted.answer = cutting
    watched = await clients.connected(scripted.url)
    with pytest.raises(Disconnected):
        await watched.client.download("1", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../../x", "..\\..\\x", "/etc/x"])
async def test_a_name_from_the_server_stays_in_the_folder(
    clients: Clients, scripted: ScriptedServer, tmp_path: Path, name: str
) -> None:
    async def hostile(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "query":
            found = [{"_id": "1", "filename": name, "length": 3}]
            text = watched.client.stringify(found)
            await peer.send("queryreply", pb.QueryResponse(results=text), envelope.id)
        elif envelope.command == "download":
            await peer.send("stream", pb.Stream(data=b"abc"), envelope.id)
            await peer.send("endstream", pb.EndStream(), envelope.id)
            await peer.send("downloadreply", pb.DownloadResponse(filename=name), envelope.id)
        else:
            await answer_usual(peer, envelope)

    scripted.answer = hostile
    watched = await clients.connected(scripted.url)
    folder = tmp_path / "a" / "b"
    path = await watched.client.download("1", folder)
    assert path == folder / "x"
    assert path.read_bytes() == b"abc"


async def test_an_upload_that_is_refused_in_the_middle_stops_sending(
    clients: Clients, scripted: ScriptedServer, tmp_path: Path
) -> None:
    async def refusing(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "stream":
            if len([one for one in peer.received if one.command == "stream"]) == 1:
                upload = next(one for one in peer.received if one.command == "upload")
                await peer.send("error", pb.ErrorResponse(message="disk full"), upload.id)
            return
        await answer_usual(peer, envelope)

    scripted.answer = refusing
    watched = await clients.connected(scripted.url)
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    with pytest.raises(OpenIAPError, match="disk full"):
        await watched.client.upload(big)
    parts = [one for one in scripted.peer.received if one.command == "stream"]
    assert len(parts) < 100


async def test_an_upload_that_arrived_short_is_an_error(
    clients: Clients, scripted: ScriptedServer, tmp_path: Path
) -> None:
    async def losing(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "endstream":
            await peer.send("uploadreply", pb.UploadResponse(id="1", bytes=5), envelope.rid)
            return
        await answer_usual(peer, envelope)

    scripted.answer = losing
    watched = await clients.connected(scripted.url)
    source = tmp_path / "a.txt"
    source.write_bytes(b"0123456789")
    with pytest.raises(OpenIAPError, match="5 of 10"):
        await watched.client.upload(source)
