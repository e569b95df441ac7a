"""Serves the API: where it listens, over TLS where it must, until it is told to stop."""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import uvicorn
from starlette.types import ASGIApp

from worker.http_connection import bounded_http
from worker.web_server import WebServer, is_loopback, listening_socket

STOPPED_WITHIN: Final = 0.5
"""Seconds that requests have when it stops."""
MOST_MESSAGE: Final = 1_000_000
"""Bytes of one message over a websocket."""
LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class ServingError(Exception):
    """It cannot be served so; the text says why and what is allowed."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where it listens, and how it is reached.

    Attributes:
        port: 0 for a free one.
        certificate, key: PEM files; both or none.
        behind_proxy: a proxy in front of it has the certificate.
    """

    host: str = "127.0.0.1"
    port: int = 8090
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False

    @property
    def https(self) -> bool:
        """Whether whoever asks does it by https."""
        return self.certificate is not None or self.behind_proxy

    @property
    def hosts(self) -> frozenset[str] | None:
        """The names that a request may be for; None: any."""
        if self.behind_proxy or not is_loopback(self.host):
            return None
        return LOOPBACK_NAMES | {self.host.strip("[]").lower()}

    def check(self) -> None:
        """Refuse what would have passwords go over a network as they are.

        Raises:
            ServingError: it would, or the certificate is none.
        """
        if (self.certificate is None) is not (self.key is None):
            raise ServingError("--certificate and --key: give both, or none.")
        if not is_loopback(self.host) and not self.https:
            raise ServingError(
                f"--host {self.host} can be reached from other machines, and passwords would go"
                " there unencrypted: give --certificate and --key, or --behind-proxy where a proxy"
                " with TLS stands in front."
            )
        if self.certificate is None or self.key is None:
            return
        for option, path in (("--certificate", self.certificate), ("--key", self.key)):
            try:
                path.read_bytes()
            except OSError as error:
                raise ServingError(f"{option} {path}: {error.strerror or error}.") from error
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # Without a password here OpenSSL would ask on the terminal for that of the key.
            context.load_cert_chain(self.certificate, self.key, password="")
        except (ssl.SSLError, ValueError) as error:
            raise ServingError(
                f"--certificate {self.certificate} and --key {self.key}: they are no pair of"
                f" certificate and unencrypted key in PEM form ({error})."
            ) from error


class ApiServer:
    """Serves an application; use as ``async with ApiServer(app, serving) as server``.

    Args:
        websockets: whether there are some; whoever takes them checks where they come from.
    """

    def __init__(self, app: ASGIApp, serving: Serving, *, websockets: bool = False) -> None:
        self._app = app
        self._serving = serving
        self._websockets = websockets
        self._server: WebServer | None = None
        self._task: asyncio.Task[None] | None = None
        self._port = serving.port

    @property
    def url(self) -> str:
        """Where it is reached on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104
            self._serving.host, self._serving.host
        )
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if self._serving.certificate is None else "https"
        return f"{scheme}://{shown}:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; returns when it answers.

        Raises:
            ServingError: it may not be served so, or the port is taken.
        """
        serving = self._serving
        serving.check()
        try:
            listening = listening_socket(serving.host, serving.port)
        except OSError as error:
            raise ServingError(
                f"Cannot listen on {serving.host}:{serving.port}: {error.strerror or error}."
                " Choose another one with --port."
            ) from error
        self._port = int(listening.getsockname()[1])
        config = uvicorn.Config(
            self._app,
            http=bounded_http(bodies=False),  # type: ignore[arg-type]
            ws="websockets-sansio" if self._websockets else "none",
            ws_max_size=MOST_MESSAGE,
            ws_per_message_deflate=False,  # some 300 kB of memory for each page that is open
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            ssl_certfile=serving.certificate,
            ssl_keyfile=serving.key,
            timeout_graceful_shutdown=STOPPED_WITHIN,  # type: ignore[arg-type]
        )
        self._server = WebServer(config)
        self._task = asyncio.create_task(self._server.serve([listening]))
        up = asyncio.create_task(self._server.up.wait())
        await asyncio.wait({up, self._task}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._task.done():
            await self._task
            raise ServingError("The API did not start.")

    async def stop(self) -> None:
        """Answer nobody any more; idempotent."""
        server, self._server = self._server, None
        task, self._task = self._task, None
        if server is None or task is None:
            return
        server.leave()
        with contextlib.suppress(asyncio.CancelledError):
            await task
