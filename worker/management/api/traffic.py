"""What is known of requests: an id for each, log lines, counts and durations.

Labels are those of the route and not of what was asked: their number is that of the routes.
"""

import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.telemetry.log import Log
from worker.telemetry.metrics import PREFIX

ID_HEADER: Final = "X-Request-ID"
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
UNKNOWN: Final = "unknown"
PREFIX_OF_API: Final = "/api/v1"
"""Some versions of FastAPI have it in a route's path, and some have not."""
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET: Final = frozenset({"/metrics", "/livez"})


class TrafficCounts:
    """Counts requests; one for each application.

    Args:
        gauges: further numbers by the name of their metric: what each tells, and where it is read.
    """

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            f"{PREFIX}_api_request_seconds",
            "Requests to the API, and how long they took",
            ("method", "route", "status"),
            buckets=BOUNDS,
            registry=self._registry,
        )
        for name, (help, read) in gauges.items():
            self.add_gauge(name, help, read)

    def add_gauge(self, name: str, help: str, read: Callable[[], float]) -> None:
        """Show one more number."""
        Gauge(f"{PREFIX}_api_{name}", help, registry=self._registry).set_function(read)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._seconds.labels(method, route, str(status)).observe(seconds)

    def page(self) -> bytes:
        """Return the counts in Prometheus' text form."""
        return generate_latest(self._registry)


class Traffic:
    """An application whose requests are counted and logged."""

    def __init__(self, app: ASGIApp, counts: TrafficCounts, log: Log) -> None:
        self._app = app
        self._counts = counts
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(ID_HEADER, "")
        id = scope["request_id"] = given if _ID.fullmatch(given) else secrets.token_hex(8)
        began, status = time.perf_counter(), 500

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[ID_HEADER] = id
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, with_id)
        finally:
            seconds = time.perf_counter() - began
            method = scope["method"] if scope["method"] in _METHODS else "other"
            found = str(getattr(scope.get("route"), "path", UNKNOWN))
            route = found.removeprefix(PREFIX_OF_API).replace(":path}", "}")
            self._counts.count(method, route, status, seconds)
            if scope["path"] not in _QUIET:
                self._log.verbose(
                    f"{method} {route}",
                    status=status,
                    seconds=round(seconds, 3),
                    user=scope.get("signed_in", ""),
                    request=id,
                )
