"""The local server: puts storage, operations and protocol together, listens, stops."""

import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self

import grpc
import uvicorn

from worker.http_connection import bounded_http
from worker.localserver.operations.options import Faults, ServerOptions
from worker.localserver.operations.repeated import Repeated
from worker.localserver.operations.services import Services
from worker.localserver.operations.sweep import Sweep
from worker.localserver.operations.users import generated_user
from worker.localserver.operations.wakeups import WakeUps
from worker.localserver.protocol import grpc as grpc_transport
from worker.localserver.protocol import http
from worker.localserver.protocol.sessions import Sessions
from worker.localserver.protocol.websocket import websocket_protocol
from worker.web_server import WebServer, is_loopback, listening_socket


class ServerStartError(Exception):
    """The server cannot listen where it was told to."""


class LocalServer:
    """An OpenIAP server for development, tests and a single machine."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._services: Services | None = None
        self._sessions: Sessions | None = None
        self._socket: socket.socket | None = None
        self._web_server: WebServer | None = None
        self._grpc: grpc.aio.Server | None = None
        self._port = options.port
        self._grpc_port = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._repeated: list[Repeated] = []
        self.credentials: tuple[str, str] = ("", "")
        """A user and password that may sign in; known once the server has started."""

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

    @property
    def port(self) -> int:
        """The port of websockets and HTTP; the last one, once the server has stopped."""
        return self._port

    @property
    def grpc_port(self) -> int:
        """The port of gRPC; 0 where it is off."""
        return self._grpc_port

    @property
    def ws_url(self) -> str:
        """What websocket clients are given; the older ones add ``/ws/v2``."""
        return f"ws://{self._host}:{self.port}"

    @property
    def grpc_url(self) -> str:
        """What gRPC clients are given."""
        return f"grpc://{self._host}:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        """Where ``/config`` and ``/download`` are."""
        return f"http://{self._host}:{self.port}"

    @property
    def faults(self) -> Faults:
        """The switches of tests; they act at once."""
        return self._options.faults

    @property
    def stats(self) -> dict[str, int]:
        """How often each command came, ``connections``, ``wakeups``, ``ratelimited``."""
        return dict(self.services.stats)

    @property
    def services(self) -> Services:
        """What the commands of the running server work with.

        Raises:
            RuntimeError: it is not running.
        """
        if self._services is None:
            raise RuntimeError("the server is not running")
        return self._services

    async def start(self) -> None:
        """Open the data and listen; returns when clients can connect.

        Raises:
            ServerStartError: a port is taken, or other machines could sign in as nobody's user.
            sqlite3.Error: the data cannot be opened.
            OSError: the data's files cannot be kept from others.
        """
        options = self._options
        log = options.log
        if not options.users and not is_loopback(options.host):
            raise ServerStartError(
                f"{options.host} can be reached from other machines: "
                "name a user and a password for the server"
            )
        try:
            self._socket = listening_socket(options.host, options.port)
        except OSError as error:
            raise ServerStartError(
                f"cannot listen on {options.host}:{options.port}: {error}"
            ) from error
        self._port = int(self._socket.getsockname()[1])
        try:
            self._services = Services(options)
            await self._make_users(self._services)
            self._sessions = Sessions(self._services)
            await self._listen(self._services, self._sessions)
        except BaseException:
            await self.stop()
            raise
        self._repeated = [
            Repeated("keeping sessions", options.ping_interval, self._sessions.keep_alive, log),
            Repeated("waking", options.wakeup_interval, WakeUps(self._services).round, log),
            Repeated("the sweep", options.sweep_interval, Sweep(self._services).round, log),
        ]
        for one in self._repeated:
            await one.start()

    async def stop(self) -> None:
        """Cut all links, stop listening, close the data. What was answered is on disk."""
        for one in self._repeated:
            await one.stop()
        self._repeated = []
        if self._sessions is not None:
            self._sessions.drop_all()
        if self._grpc is not None:
            await self._grpc.stop(0)
            self._grpc = None
        if self._web_server is not None:
            self._web_server.leave()
            self._web_server.abort_links()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        self._web_server = None
        if self._socket is not None:
            self._socket.close()
        if self._services is not None:
            self._services.replies.end()
            self._services.store.close()
            self._services = None
        self._sessions = None

    async def drop_connections(self) -> None:
        """Cut every client's link at once; they may come again."""
        if self._sessions is not None:
            self._sessions.drop_all()
        if self._web_server is not None:
            self._web_server.abort_links()
        await asyncio.sleep(0)

    async def _make_users(self, services: Services) -> None:
        users = dict(self._options.users)
        if not users:
            name, password = generated_user(self._options.data)
            users = {name: password}
        self.credentials = next(iter(users.items()))
        services.roles.ensure(services.now())
        services.users.ensure_only(users, self._options.plain_users, services.now())
        services.store.commit()

    async def _listen(self, services: Services, sessions: Sessions) -> None:
        config = uvicorn.Config(
            http.application(services),
            http=bounded_http(),  # type: ignore[arg-type]
            ws=websocket_protocol(sessions),  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._web_server = WebServer(config)
        assert self._socket is not None
        self._tasks.append(asyncio.create_task(self._web_server.serve([self._socket])))
        await self._web_server.up.wait()
        if self._options.grpc_enabled:
            address = f"{_in_url(self._options.host)}:{self._options.grpc_port}"
            try:
                self._grpc, self._grpc_port = await grpc_transport.start(
                    sessions, self._options.faults, address
                )
            except RuntimeError as error:
                raise ServerStartError(f"cannot listen on {address}: {error}") from error

    @property
    def _host(self) -> str:
        """An address that clients on this machine can use."""
        host = self._options.host
        return _in_url({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host))  # noqa: S104


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
