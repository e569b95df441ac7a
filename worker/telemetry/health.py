"""The health listener: ``/livez``, ``/readyz``, ``/metrics`` and what else is registered.

It runs on a thread of its own (``listener``), outside the loop, so that it answers while the loop
is blocked. Off unless a port is set; loopback unless told otherwise; GET and HEAD alone.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from worker.errors import StateError
from worker.item.masking import masked
from worker.telemetry.loop_watch import LoopWatch
from worker.telemetry.prometheus import MetricsPage

if TYPE_CHECKING:
    from worker.telemetry.listener import Listener

JSON: Final = "application/json"
METRICS: Final = "/metrics"

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
        self._notes: dict[str, Callable[[], Mapping[str, str]]] = {}
        self._routes: dict[str, Route] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
        }
        self._slow: set[str] = set()
        self._dead: Callable[[], str] = lambda: ""
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """The port it listens on; the one asked for before ``start``."""
        return self._port if self._listener is None else self._listener.port

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

    def add_note(self, name: str, read: Callable[[], Mapping[str, str]]) -> None:
        """Have readiness say something beside its answer, where there is something to say.

        Args:
            read: as ``check`` of ``add_condition``; {} for nothing.
        """
        self._notes[name] = read

    def alive_if(self, check: Callable[[], str]) -> None:
        """Make liveness depend on something, too; ``check`` is as for ``add_condition``."""
        self._dead = check

    def add_route(self, path: str, route: Route) -> None:
        """Answer one more path; ``route`` may take its time, in a thread beside the listener's."""
        self._slow.add(path)
        self._routes[path] = route

    def start(self) -> None:
        """Begin to listen.

        Raises:
            StateError: the address cannot be had; one sentence with the reason.
        """
        # Here and not above: a worker without a health port starts without an HTTP parser.
        from worker.telemetry.listener import Listener

        try:
            self._listener = Listener(self._host, self._port, self._page)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StateError(
                f"The health listener cannot use {self._host}:{self._port}: {reason};"
                " set health_port or health_host to another."
            ) from error
        self._listener.start()

    def stop(self) -> None:
        """Listen no more; idempotent."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()

    def reasons(self) -> dict[str, str]:
        """Return why the worker is not ready, by the conditions' names; {} when it is."""
        found: dict[str, str] = {}
        watch = self._watch
        if watch is not None and not watch.alive:
            found["loop"] = f"the loop has not answered for {watch.silent_for():.1f} s"
        return found | reasons_of(self._conditions)

    def _page(self, target: str, accept: str) -> tuple[Callable[[], Answer], bool]:
        return partial(self._answer, target, accept), target.partition("?")[0] in self._slow

    def _answer(self, target: str, accept: str) -> Answer:
        try:
            parts = urlsplit(target)
        except ValueError:
            return json_answer(HTTPStatus.BAD_REQUEST, {"error": "no such address"})
        if parts.path == METRICS:
            return (HTTPStatus.OK, *self._metrics.render_for(accept))
        route = self._routes.get(parts.path)
        if route is None:
            return json_answer(
                HTTPStatus.NOT_FOUND, {"error": "no such page", "pages": [*self._routes, METRICS]}
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
        notes = {name: said for name, read in list(self._notes.items()) if (said := dict(read()))}
        if not reasons:
            return json_answer(HTTPStatus.OK, {"status": "ready", **notes})
        return json_answer(
            HTTPStatus.SERVICE_UNAVAILABLE, {"status": "not ready", "reasons": reasons, **notes}
        )


def reasons_of(conditions: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    """Return which conditions are not met, and why."""
    found: dict[str, str] = {}
    for name, check in list(conditions.items()):
        try:
            reason = check()
        except Exception as error:  # a condition that cannot be told is not met
            reason = f"cannot be told ({type(error).__name__})"
        if reason:
            found[name] = reason
    return found


def json_answer(status: int, content: Mapping[str, object]) -> Answer:
    """Return a page of JSON, its texts masked."""
    return (status, JSON, (json.dumps(_without_secrets(content), indent=1) + "\n").encode())


def _without_secrets(value: object) -> object:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {key: _without_secrets(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(part) for part in value]
    return value
