"""The health listener: ``/livez``, ``/readyz``, ``/metrics`` and what else is registered.

It runs in threads of its own, outside the loop, so that it answers while the loop is blocked. Off
unless a port is set; loopback unless told otherwise; GET and HEAD alone.
"""

import json
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from socketserver import TCPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

from worker.errors import StateError
from worker.forks import blind, in_children
from worker.telemetry.loop_watch import LoopWatch
from worker.telemetry.prometheus import CONTENT_TYPE, MetricsPage

JSON: Final = "application/json"
READ_WITHIN: Final = 5.0
MOST_AT_ONCE: Final = 32

Query = Mapping[str, str]
Answer = tuple[int, str, bytes]
Route = Callable[[Query], Answer]


class Health:
    """The listener; shape: ``start``, ``stop``.

    Args:
        host, port: where it listens; port 0 takes a free one (see ``port``).
    """

    def __init__(self, host: str, port: int, *, metrics: MetricsPage) -> None:
        self._host = host
        self._port = port
        self._metrics = metrics
        self._watch: LoopWatch | None = None
        self._conditions: dict[str, Callable[[], str]] = {}
        self._routes: dict[str, Route] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics_route,
        }
        self._dead: Callable[[], str] = lambda: ""
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on; the one asked for before ``start``."""
        return self._port if self._server is None else int(self._server.server_address[1])

    def use_watch(self, watch: LoopWatch) -> None:
        """Report on a watch that the caller starts and stops."""
        self._watch = watch

    def add_condition(self, name: str, check: Callable[[], str]) -> None:
        """Make readiness depend on something.

        Args:
            check: returns "" when all is well, else one sentence; called in the listener's
                threads, so it only reads, and quickly.
        """
        self._conditions[name] = check

    def alive_if(self, check: Callable[[], str]) -> None:
        """Make liveness depend on something, too; ``check`` is as for ``add_condition``."""
        self._dead = check

    def add_route(self, path: str, route: Route) -> None:
        """Answer one more path; ``route`` runs in the listener's threads."""
        self._routes[path] = route

    def start(self) -> None:
        """Begin to listen.

        Raises:
            StateError: the address cannot be had; one sentence with the reason.
        """
        try:
            self._server = _Server(self._host, self._port, self._answer)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StateError(
                f"The health listener cannot use {self._host}:{self._port}: {reason};"
                " set health_port or health_host to another."
            ) from error
        # The port would be taken for as long as a child lives.
        in_children(self._server, lambda server: blind(server.fileno()))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="health", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; idempotent. Blocks for 0.2 s at most."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        if self._thread is not None:
            self._thread.join(2.0)

    def reasons(self) -> dict[str, str]:
        """Return why the worker is not ready, by the conditions' names; {} when it is."""
        found: dict[str, str] = {}
        watch = self._watch
        if watch is not None and not watch.alive:
            found["loop"] = f"the loop has not answered for {watch.silent_for():.1f} s"
        for name, check in list(self._conditions.items()):
            try:
                reason = check()
            except Exception as error:  # a condition that cannot be told is not met
                reason = f"cannot be told ({type(error).__name__})"
            if reason:
                found[name] = reason
        return found

    def _answer(self, target: str) -> Answer:
        parts = urlsplit(target)
        route = self._routes.get(parts.path)
        if route is None:
            return json_answer(
                HTTPStatus.NOT_FOUND, {"error": "no such page", "pages": [*self._routes]}
            )
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        try:
            return route(query)
        except Exception as error:  # whoever asks gets an answer, whatever a page does
            return json_answer(
                HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"{type(error).__name__} in the page"}
            )

    def _livez(self, query: Query) -> Answer:
        blocked = self._watch.blockage() if self._watch is not None else None
        if blocked is None:
            dead = self._dead()
            if dead:
                answer = {"status": "dead", "reason": dead}
                return json_answer(HTTPStatus.SERVICE_UNAVAILABLE, answer)
            return json_answer(HTTPStatus.OK, {"status": "alive"})
        return json_answer(
            HTTPStatus.SERVICE_UNAVAILABLE,
            {
                "status": "blocked",
                "seconds": round(blocked.seconds, 1),
                "blocked_by": blocked.culprit,
                "stack": blocked.stack,
            },
        )

    def _readyz(self, query: Query) -> Answer:
        reasons = self.reasons()
        if not reasons:
            return json_answer(HTTPStatus.OK, {"status": "ready"})
        return json_answer(
            HTTPStatus.SERVICE_UNAVAILABLE, {"status": "not ready", "reasons": reasons}
        )

    def _metrics_route(self, query: Query) -> Answer:
        return (HTTPStatus.OK, CONTENT_TYPE, self._metrics.render())


class _Server(ThreadingHTTPServer):
    """Threads per request, bounded in number and in time: a slow reader holds nobody up."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    # Elsewhere it only skips the wait after a restart; on Windows it would share the port.
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, host: str, port: int, answer: Callable[[str], Answer]) -> None:
        self.address_family = AF_INET6 if _is_ip6(host) else AF_INET
        self.answer = answer
        self._room = threading.BoundedSemaphore(MOST_AT_ONCE)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without the name look-up of ``HTTPServer``, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: object, client_address: object) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type]
            return
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = READ_WITHIN
    server_version = "openiap-worker"
    sys_version = ""

    def do_GET(self) -> None:
        self._send(body=True)

    def do_HEAD(self) -> None:
        self._send(body=False)

    def _send(self, *, body: bool) -> None:
        status, content_type, content = self.server.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Probes every few seconds are no log lines."""


def json_answer(status: int, content: Mapping[str, object]) -> Answer:
    """Return a page of JSON."""
    return (status, JSON, (json.dumps(content, indent=1) + "\n").encode())


def _is_ip6(host: str) -> bool:
    try:
        return ip_address(host).version == 6
    except ValueError:
        return False
