"""Files of any size pass with a bounded part of them in memory, in both directions."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.openiap.native.conftest import (
    DEADLINE,
    PASSWORD,
    USER,
    Clients,
    Peer,
    ScriptedServer,
    answer_usual,
)
from worker.openiap.native.streams import MOST_WAITING, FileInflow
from worker.openiap.wire import openiap_pb2 as pb

MEGABYTE = 1024 * 1024
SIZE = 200
GROWTH = 16_000_000
TIMEOUT = 250.0


@pytest.fixture(scope="module")
def apart() -> Iterator[dict[str, str]]:
    """A local server in a process of its own, whose memory is not this one's."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.localserver", "--user", f"{USER}:{PASSWORD}"],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        told: dict[str, str] = json.loads(process.stdout.readline())
        yield told
    finally:
        process.terminate()
        process.communicate()


class Growth:
    """The most that this process's memory grew while a block ran, in bytes."""

    most = 0

    async def __aenter__(self) -> "Growth":
        self._me = psutil.Process()
        self._before = self._me.memory_info().rss
        self._task = asyncio.create_task(self._sample())
        return self

    async def _sample(self) -> None:
        while True:
            self.most = max(self.most, self._me.memory_info().rss - self._before)
            await asyncio.sleep(0.005)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()


def write_random(path: Path, megabytes: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(megabytes):
            block = os.urandom(MEGABYTE)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("transport", ["ws", "grpc"])
@pytest.mark.parametrize("size", [40, pytest.param(SIZE, marks=pytest.mark.dear)])
async def test_any_size_passes_with_less_than_16_mb_of_memory(
    clients: Clients, apart: dict[str, str], tmp_path: Path, transport: str, size: int
) -> None:
    client = (await clients.connected(apart[transport], http_url=apart["http"])).client
    # What the first transfer sets up (threads, buffers) is not growth with the file.
    write_random(tmp_path / "small", 3)
    await client.download(await client.upload(tmp_path / "small"), tmp_path / "first")
    expected = await asyncio.to_thread(write_random, tmp_path / "big", size)
    async with Growth() as up:
        id = await client.upload(tmp_path / "big", timeout=TIMEOUT)
    async with Growth() as down:
        path = await client.download(id, tmp_path / "out", timeout=TIMEOUT)
    assert await asyncio.to_thread(digest_of, path) == expected
    assert [one.name for one in path.parent.iterdir()] == ["big"]
    assert up.most < GROWTH, f"uploading grew by {up.most / 1e6:.1f} MB"
    assert down.most < GROWTH, f"downloading grew by {down.most / 1e6:.1f} MB"


async def test_calls_pass_while_a_file_is_on_its_way(
    clients: Clients, apart: dict[str, str], tmp_path: Path
) -> None:
    client = (await clients.connected(apart["ws"], http_url=apart["http"])).client
    await asyncio.to_thread(write_random, tmp_path / "big", 20)
    upload = asyncio.create_task(client.upload(tmp_path / "big", timeout=TIMEOUT))
    answered = 0
    while not upload.done():
        await client.probe(timeout=DEADLINE)
        answered += 1
    download = asyncio.create_task(client.download(await upload, tmp_path / "out", timeout=TIMEOUT))
    while not download.done():
        await client.probe(timeout=DEADLINE)
        answered += 1
    await download
    assert answered > 4


async def test_a_server_that_reads_slowly_is_waited_for(
    clients: Clients, scripted: ScriptedServer, tmp_path: Path
) -> None:
    go = asyncio.Event()

    async def slow(peer: Peer, envelope: pb.Envelope) -> None:
        if envelope.command == "stream":
            await go.wait()
        elif envelope.command == "endstream":
            reply = pb.UploadResponse(id="1", bytes=SIZE * MEGABYTE)
            await peer.send("uploadreply", reply, envelope.rid)
        else:
            await answer_usual(peer, envelope)

    scripted.answer = slow
    client = (await clients.connected(scripted.url)).client
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(SIZE * MEGABYTE)
    async with Growth() as growth:
        upload = asyncio.create_task(client.upload(big, timeout=TIMEOUT))
        await scripted.peer.wait_for("stream")
        # Long enough to read the whole file, were nothing waited for.
        await asyncio.sleep(0.5)
        assert not upload.done()
    # Both ends live in this process: socket buffers and the server's own few messages.
    assert growth.most < 60_000_000
    go.set()
    scripted.peers.clear()
    upload.cancel()
    await asyncio.gather(upload, return_exceptions=True)


async def test_a_disk_that_is_slower_than_the_link_stops_the_reading(
    clients: Clients, scripted: ScriptedServer, tmp_path: Path
) -> None:
    class Congestion:
        stopped = 0
        resumed = 0

        def congest(self, who: object) -> None:
            self.stopped += 1

        def relieve(self, who: object) -> None:
            self.resumed += 1

    link = Congestion()
    inflow = FileInflow(link)  # type: ignore[arg-type]
    part = b"x" * (MOST_WAITING // 2)
    inflow.part(part)
    inflow.part(part)
    assert link.stopped == 0
    inflow.part(part)
    assert link.stopped == 1
    inflow.end(None)
    assert await inflow.write_to(tmp_path / "out") == 3 * len(part)
    assert link.resumed >= 1


async def test_a_download_that_nobody_wants_any_more_does_not_stop_the_link(
    clients: Clients, apart: dict[str, str], tmp_path: Path
) -> None:
    client = (await clients.connected(apart["ws"], http_url=apart["http"])).client
    await asyncio.to_thread(write_random, tmp_path / "big", 20)
    id = await client.upload(tmp_path / "big", timeout=TIMEOUT)
    download = asyncio.create_task(client.download(id, tmp_path / "out", timeout=TIMEOUT))
    while not list(tmp_path.glob("out/*.part")) and not download.done():
        await asyncio.sleep(0)
    download.cancel()
    await asyncio.gather(download, return_exceptions=True)
    assert not list(tmp_path.glob("out/*"))
    for _ in range(10):
        await client.probe(timeout=DEADLINE)
    path = await client.download(id, tmp_path / "out", timeout=TIMEOUT)
    assert path.stat().st_size == 20 * MEGABYTE


async def test_a_full_disk_is_told_and_leaves_nothing(
    clients: Clients, apart: dict[str, str], tmp_path: Path
) -> None:
    client = (await clients.connected(apart["ws"], http_url=apart["http"])).client
    write_random(tmp_path / "a", 1)
    id = await client.upload(tmp_path / "a")
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(Exception, match="local file cannot be written"):
        await client.download(id, blocked / "folder")
    await client.probe()
