"""``GET /config``: what a server says of itself, or nothing; whatever it sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from worker.openiap import server_info
from worker.openiap.server_info import ServerInfo, read_server_info

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Give every connection the same bytes, or with None take it and say nothing."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (OK % (8, b'{"a": 1}'), ServerInfo({"a": 1}, True, 200)),
        (OK % (3, b"[1]"), ServerInfo({}, True, 200)),
        (OK % (4, b"what"), ServerInfo({}, True, 200)),
        (OK % (2, b"\xff\xfe"), ServerInfo({}, True, 200)),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ServerInfo({}, True, 404)),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", ServerInfo()),
        (b"", ServerInfo()),
    ],
)
async def test_whatever_comes_is_a_configuration_or_none(answer: bytes, told: ServerInfo) -> None:
    async with answering(answer) as (web, _):
        assert await read_server_info(web, True) == told


async def test_it_is_not_sent_elsewhere() -> None:
    async with answering(OK % (8, b'{"a": 1}')) as (other, asked):
        moved = f"HTTP/1.1 302 Found\r\nLocation: {other}/config\r\nContent-Length: 0\r\n\r\n"
        async with answering(moved.encode()) as (web, _):
            assert await read_server_info(web, True) == ServerInfo({}, True, 302)
        assert asked == []


async def test_silence_is_told_from_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_info, "CONFIG_TIMEOUT", 0.2)
    async with answering(None) as (web, _):
        assert await read_server_info(web, True) == ServerInfo(silent=True)
    assert await read_server_info(web, True) == ServerInfo()


async def test_a_proxy_is_asked_for_other_hosts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with answering(OK % (8, b'{"a": 1}')) as (proxy, asked):
        monkeypatch.setenv("http_proxy", proxy)
        told = await read_server_info("http://openiap.invalid:3000", True)
        assert told == ServerInfo({"a": 1}, True, 200)
        assert asked[0].startswith(b"GET http://openiap.invalid:3000/config ")
        async with answering(OK % (2, b"{}")) as (web, _):
            assert await read_server_info(web, True) == ServerInfo({}, True, 200)
        assert len(asked) == 1
