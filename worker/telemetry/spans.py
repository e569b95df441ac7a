"""Spans of OpenTelemetry around pushes, runs and write-backs, where a process makes spans.

1. ``send`` (or ``create`` for a follow-up item, whose push comes later) is the producer's span; its
   place in the trace travels with the item.
2. ``process`` is an attempt at an item; it is current while the handler runs, so what the handler
   and the libraries that it uses make of spans lies below it. ``settle`` is the write-back.
3. Nothing is imported for it: a process that has not imported OpenTelemetry pays for a look into a
   dictionary. Whatever a span processor of others does, the item goes its way.

Texts on spans are those that stand on the item, masked already. Source of names and attributes:
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, Literal, TypeVar

from worker._version import __version__
from worker.item.context import trace_of_span
from worker.item.error_text import clip
from worker.item.metadata import trace_in, with_trace
from worker.item.new_item import FollowUp, Push, Sent
from worker.item.outcome import Outcome
from worker.item.trace import Trace
from worker.openiap.workitem import JsonObject, Workitem

SCOPE: Final = "openiap-worker"
SYSTEM: Final = "openiap"
MOST_TEXT: Final = 4_000
"""Characters of an error's text or traceback on a span; the item has all of it."""

Operation = Literal["create", "send", "process", "settle"]
P = TypeVar("P", bound="Push | FollowUp")


def otel() -> Any:
    """Return the API of OpenTelemetry's where this process makes spans with it, else None."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    try:
        provider = api.get_tracer_provider()
        silent = isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider)
    except AttributeError:  # being imported in this moment, by another thread
        return None
    return None if silent else api


class ItemSpan:
    """The span of one attempt at an item.

    Attributes:
        trace: its place, from which the work goes on.
    """

    __slots__ = ("_api", "_queue", "_span", "_token", "_workitem", "trace")

    def __init__(self, api: Any, span: Any, workitem: Workitem) -> None:
        self.trace: Final = trace_of_span(span.get_span_context())
        self._api = api
        self._span = span
        self._workitem = workitem
        self._token = _attached(api, span)

    def end(self, outcome: Outcome, error: str) -> None:
        """The attempt has ended.

        Args:
            error: what kind of error it was; for one that ended with one.
        """
        with suppress(Exception):  # of a span processor: it is the user's
            sys.modules["opentelemetry.context"].detach(self._token)
        with suppress(Exception):
            self._span.set_attribute("openiap.outcome", outcome.kind)
            if outcome.kind not in ("successful", "released"):
                _failed(self._api, self._span, error or outcome.kind, outcome.message)
                told = {
                    "exception.type": error or outcome.kind,
                    "exception.message": clip(outcome.message, MOST_TEXT),
                }
                if outcome.source:
                    told["exception.stacktrace"] = clip(outcome.source, MOST_TEXT)
                self._span.add_event("exception", told)
            self._span.end()

    def settle(self) -> "Settling":
        """Begin the span of the attempt's write-back."""
        item, span = self._workitem, None
        with suppress(Exception):
            span = _started(
                self._api,
                "settle",
                item.wiq,
                self.trace,
                {"messaging.message.id": item.id, "openiap.item.attempt": item.retries + 1},
            )
        return Settling(self._api, span)


class Settling:
    """The span of a write-back."""

    __slots__ = ("_api", "_span")

    def __init__(self, api: Any, span: Any) -> None:
        self._api = api
        self._span = span

    def end(self, result: str, state: str) -> None:
        """The server has taken the outcome, or will never take it.

        Args:
            result: ``applied``, or why it was not.
            state: the item's, if it is known.
        """
        if self._span is None:
            return
        with suppress(Exception):
            if state:
                self._span.set_attribute("openiap.item.state", state)
            if result != "applied":
                _failed(self._api, self._span, result, "")
            self._span.end()


def attempt_span(
    workitem: Workitem, came_from: Trace | None, *, handler: str, worker: str
) -> ItemSpan | None:
    """Begin the span of an attempt and make it the current one of this task; None where this
    process makes no spans. Then the place that the item came from is the current one, for those
    who only pass it on.

    Args:
        came_from: the place of the span that pushed the item; without one a trace begins here.
    """
    api = otel()
    if api is None:
        within(came_from)
        return None
    with suppress(Exception):
        span = _started(
            api,
            "process",
            workitem.wiq,
            came_from,
            {
                "messaging.message.id": workitem.id,
                "messaging.client.id": worker,
                "openiap.item.attempt": workitem.retries + 1,
                "openiap.handler": handler,
            },
        )
        return ItemSpan(api, span, workitem)
    return None


def within(trace: Trace | None) -> None:
    """Make a place in a trace the current one of this context, where the API is in use."""
    api = sys.modules.get("opentelemetry.trace")
    if api is not None and trace is not None:
        with suppress(Exception):
            _attached(api, _remote(api, trace))


class Sending:
    """Pushes on their way.

    Attributes:
        pushes: as they are to be sent: with the place of their span.
    """

    __slots__ = ("_span", "pushes")

    def __init__(self, pushes: Sequence[Push], span: Any = None) -> None:
        self.pushes: Final = pushes
        self._span = span

    def sent(self, sent: Sequence[Sent]) -> None:
        """The server has them."""
        if self._span is not None and len(sent) == 1:
            with suppress(Exception):
                self._span.set_attribute("messaging.message.id", sent[0].id)


@contextmanager
def sending(pushes: Sequence[Push]) -> Iterator[Sending]:
    """Make a span of a push, or of many pushes together."""
    api = otel()
    if api is None or not pushes:
        yield Sending(pushes)
        return
    first, count = pushes[0], len(pushes)
    span = None
    with suppress(Exception):
        many: dict[str, object] = {"messaging.batch.message_count": count} if count > 1 else {}
        span = _started(api, "send", first.queue, trace_in(first.payload), many, creates=True)
        place = trace_of_span(span.get_span_context())
        pushes = [_placed(push, place) for push in pushes]
    with _ended(api, span):
        yield Sending(pushes, span)


def created(push: FollowUp) -> FollowUp:
    """Make the span of a follow-up item that is asked for; it is pushed later."""
    api = otel()
    if api is None:
        return push
    with suppress(Exception):
        told = {"messaging.message.id": push.id}
        span = _started(api, "create", push.queue, trace_in(push.payload), told, creates=True)
        span.end()
        return _placed(push, trace_of_span(span.get_span_context()))
    return push


@contextmanager
def sending_later(push: FollowUp) -> Iterator[None]:
    """Make the span of a follow-up item's push, below that of its making."""
    api = otel()
    if api is None:
        yield
        return
    span = None
    with suppress(Exception):
        told = {"messaging.message.id": push.id}
        span = _started(api, "send", push.queue, trace_in(push.payload), told)
    with _ended(api, span):
        yield


@contextmanager
def _ended(api: Any, span: Any) -> Iterator[None]:
    """End a span with what is inside, and say whether that worked."""
    try:
        yield
    except BaseException as error:
        with suppress(Exception):
            _failed(api, span, type(error).__qualname__, "")
        raise
    finally:
        with suppress(Exception):
            span.end()


def _placed(push: P, place: Trace | None) -> P:
    if place is None:
        return push
    payload: JsonObject = with_trace(push.payload, place)
    return replace(push, payload=payload)


def _started(
    api: Any,
    operation: Operation,
    queue: str,
    parent: Trace | None,
    attributes: dict[str, Any],
    *,
    creates: bool = False,
) -> Any:
    """Begin a span.

    Args:
        creates: its place travels with what is sent.
    """
    kinds = api.SpanKind
    kind = kinds.CONSUMER if operation == "process" else kinds.CLIENT
    contexts = sys.modules["opentelemetry.context"]
    nothing = contexts.Context()
    return _tracer(api.get_tracer_provider()).start_span(
        f"{operation} {queue}",
        context=nothing
        if parent is None
        else api.set_span_in_context(_remote(api, parent), nothing),
        kind=kinds.PRODUCER if creates else kind,
        attributes={
            "messaging.system": SYSTEM,
            "messaging.destination.name": queue,
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            **attributes,
        },
    )


@lru_cache(maxsize=1)
def _tracer(provider: Any) -> Any:
    return provider.get_tracer(SCOPE, __version__)


def _remote(api: Any, trace: Trace) -> Any:
    context = api.SpanContext(
        int(trace.trace_id, 16),
        int(trace.span_id, 16),
        is_remote=True,
        trace_flags=api.TraceFlags(int(trace.sampled)),
        trace_state=api.TraceState.from_header([trace.tracestate]),
    )
    return api.NonRecordingSpan(context)


def _attached(api: Any, span: Any) -> Any:
    return sys.modules["opentelemetry.context"].attach(api.set_span_in_context(span))


def _failed(api: Any, span: Any, kind: str, message: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(api.Status(api.StatusCode.ERROR, clip(message, MOST_TEXT) or None))
