"""Files over the protocol and over HTTP."""

import asyncio
import os
import urllib.error
import urllib.request
from typing import Any

import pytest

from worker.localserver import Faults, LocalServer
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import build

CHUNK = 261_120


def fetch(server: LocalServer, file_id: str, token: str | None) -> bytes:
    request = urllib.request.Request(f"{server.http_url}/download/{file_id}")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=60) as reply:
        return bytes(reply.read())


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 5_000_000])
async def test_a_file_comes_back_as_it_went(
    server: LocalServer, connect: Any, transport: str, size: int
) -> None:
    client = await connect(server, transport)
    data = os.urandom(size)
    uploaded = await client.upload("../dir/räport.bin", data, '{"wi": "1"}')
    assert (uploaded.filename, uploaded.bytes) == ("räport.bin", size)
    assert uploaded.chunks == -(-size // CHUNK)
    (stored,) = await client.query("fs.files", {"_id": uploaded.id})
    assert (stored["length"], stored["metadata"]["wi"]) == (size, "1")
    assert await client.download(uploaded.id) == data
    assert await asyncio.to_thread(fetch, server, uploaded.id, client.jwt) == data


async def test_http_downloads_need_a_token(server: LocalServer, client: Any) -> None:
    uploaded = await client.upload("a", b"x")
    for token, status in ((None, 404), ("wrong", 500), ("", 500)):
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(fetch, server, uploaded.id, token)
        assert refused.value.code == status
        refused.value.close()
    with pytest.raises(urllib.error.HTTPError) as missing:
        await asyncio.to_thread(fetch, server, "nope", client.jwt)
    assert missing.value.code == 404
    missing.value.close()


async def test_fault_large_downloads_are_cut_and_http_gives_the_whole(
    serve: Any, connect: Any
) -> None:
    server = await serve(faults=Faults(truncate_downloads=True))
    client = await connect(server)
    data = os.urandom(3 * CHUNK + 17)
    uploaded = await client.upload("big", data)
    cut = await client.download(uploaded.id)
    assert len(cut) < len(data)
    assert len(cut) % CHUNK == 0
    assert await asyncio.to_thread(fetch, server, uploaded.id, client.jwt) == data
    small = await client.upload("small", data[:CHUNK])
    assert await client.download(small.id) == data[:CHUNK]


async def test_a_file_is_found_by_name_and_a_missing_one_is_an_error(client: Any) -> None:
    uploaded = await client.upload("named", b"1")
    reply = await client.ask("download", pb.DownloadRequest(filename="named"))
    assert reply.id == uploaded.id
    with pytest.raises(Exception, match=r"^File nope not found$"):
        await client.ask("download", pb.DownloadRequest(id="nope"))
    with pytest.raises(Exception, match=r"^id or filename is mandatory$"):
        await client.ask("download", pb.DownloadRequest())


async def test_a_refused_upload_is_answered_and_its_stream_ignored(client: Any) -> None:
    for request in (
        pb.UploadRequest(),
        pb.UploadRequest(filename="x", metadata="{"),
        pb.UploadRequest(filename="x", metadata="[]"),
        pb.UploadRequest(filename="x", collectionname="other"),
    ):
        reply = await client.envelope("upload", request)
        assert reply.command == "error"
    assert await client.query("fs.files", {}) == []


async def test_half_an_upload_leaves_nothing(server: LocalServer, connect: Any) -> None:
    client = await connect(server)
    await client.start("upload", pb.UploadRequest(filename="half"))
    rid = next(reversed(client._waiting))
    await client.send(build("stream", pb.Stream(data=bytes(3 * CHUNK)), rid=rid))
    await client.ask("getelement", pb.GetElementRequest())
    store = server.services.store
    assert store.row("SELECT COUNT(*) FROM chunks") == (3,)
    client._waiting.clear()
    await client.close()
    async with asyncio.timeout(60):
        while store.row("SELECT COUNT(*) FROM chunks") != (0,):
            await asyncio.sleep(0.01)


async def test_two_uploads_at_once_do_not_mix(client: Any) -> None:
    waiting, ids = [], []
    for name in ("a", "b"):
        waiting.append(await client.start("upload", pb.UploadRequest(filename=name)))
        ids.append(next(reversed(client._waiting)))
    for _ in range(3):
        for rid, letter in zip(ids, (b"a", b"b"), strict=True):
            await client.send(build("stream", pb.Stream(data=letter * 100_000), rid=rid))
    for rid in ids:
        await client.send(build("endstream", pb.EndStream(), rid=rid))
    for future, letter in zip(waiting, (b"a", b"b"), strict=True):
        reply = await asyncio.wait_for(future, 60)
        file_id = pb.UploadResponse.FromString(reply.data.value).id
        assert await client.download(file_id) == letter * 300_000


async def test_deleting_a_files_document_deletes_its_contents(
    server: LocalServer, client: Any
) -> None:
    uploaded = await client.upload("x", bytes(CHUNK * 2))
    reply = await client.ask(
        "deleteone", pb.DeleteOneRequest(collectionname="fs.files", id=uploaded.id)
    )
    assert reply.affectedrows == 1
    assert server.services.store.row("SELECT COUNT(*) FROM chunks") == (0,)
