"""TLS with the system's roots or a file of one's own; the environment's proxy."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import trustme

from tests.integration.openiap.native.conftest import (
    DEADLINE,
    Clients,
    ScriptedServer,
    scripted_websocket,
)
from worker.openiap.errors import NotConnected
from worker.openiap.native.endpoint import Endpoint, tls_context
from worker.openiap.native.grpc import open_grpc
from worker.openiap.wire.envelope import FLOW_METHOD


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    async for one in scripted_websocket(context):
        yield one


async def test_a_ca_file_of_ones_own_is_trusted(
    clients: Clients, secure: ScriptedServer, ca_file: Path
) -> None:
    watched = await clients.connected(secure.url, ca_file=ca_file)
    await watched.client.probe()


async def test_an_unknown_authority_is_refused(clients: Clients, secure: ScriptedServer) -> None:
    watched = clients.make(secure.url)
    with pytest.raises(NotConnected, match=r"(?i)certificate"):
        await watched.client.connect(timeout=DEADLINE)


async def test_a_certificate_for_another_name_is_refused(
    clients: Clients, secure: ScriptedServer, ca_file: Path
) -> None:
    watched = clients.make(secure.url.replace("localhost", "127.0.0.1"), ca_file=ca_file)
    with pytest.raises(NotConnected, match=r"(?i)certificate"):
        await watched.client.connect(timeout=DEADLINE)


async def test_a_ca_file_that_is_none_is_named(clients: Clients, tmp_path: Path) -> None:
    watched = clients.make("wss://localhost:1", ca_file=tmp_path / "missing.pem")
    with pytest.raises(NotConnected, match=r"missing\.pem"):
        await watched.client.connect(timeout=DEADLINE)


class Ear:
    """A receiver that only notes."""

    def heard(self) -> None: ...

    def received(self, body: bytes) -> None: ...

    def closed(self, reason: str) -> None: ...


async def test_grpc_over_tls_trusts_the_same_file(
    authority: trustme.CA, ca_file: Path, scripted_grpc: ScriptedServer
) -> None:
    # Port 443, which means TLS, is not for tests to listen on: the endpoint says it instead.
    issued = authority.issue_cert("localhost")
    credentials = grpc.ssl_server_credentials(
        [(issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())]
    )
    _, service, method = FLOW_METHOD.split("/")
    one = ScriptedServer()
    running = grpc.aio.server()
    running.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                service, {method: grpc.stream_stream_rpc_method_handler(one.stream)}
            ),
        )
    )
    port = running.add_secure_port("127.0.0.1:0", credentials)
    await running.start()
    endpoint = Endpoint("grpc", "localhost", port, True)
    try:
        async with asyncio.timeout(DEADLINE):
            transport = await open_grpc(endpoint, Ear(), tls_context(ca_file))
            await transport.close(1.0)
            with pytest.raises(NotConnected):
                await open_grpc(endpoint, Ear(), tls_context(None))
    finally:
        await running.stop(0)


class Proxy:
    """A forward proxy that knows CONNECT, and sends everything to one server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0].decode())
        if not head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            return
        upstream, up = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, up), copy(upstream, writer))


async def test_the_environments_proxy_is_used(
    clients: Clients, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy(int(scripted.url.rpartition(":")[2]))
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    async with listening:
        # A name that only the proxy can reach.
        watched = await clients.connected("ws://openiap.invalid:3000")
        await watched.client.probe()
        assert "CONNECT openiap.invalid:3000 HTTP/1.1" in proxy.asked
        # This machine is never asked for through it.
        before = len(proxy.asked)
        await clients.connected(scripted.url)
        assert len(proxy.asked) == before
        await watched.client.disconnect()
