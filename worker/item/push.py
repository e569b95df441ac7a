"""Pushes: what may be said of one, whom it goes to, and the item to be that comes of both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypedDict, TypeVar, runtime_checkable

from worker.durations import Duration, seconds
from worker.errors import WorkerError
from worker.item import context
from worker.item.headers import headers_of
from worker.item.json_form import NotJson, json_form
from worker.item.metadata import KEY, Metadata
from worker.item.new_item import Push
from worker.item.unique import HeldWhile, unique_of
from worker.kinds import kind_of
from worker.openiap.workitem import JsonObject

F = TypeVar("F", bound=Callable[..., Any], covariant=True)

Fields = Mapping[str, Any]


class ContractError(WorkerError, ValueError):
    """What is pushed, or what came back, does not fit a handler's contract; the text says where."""


class _ItemArguments(TypedDict, total=False):
    name: str
    priority: int | None
    delay: Duration | None
    at: datetime | None
    namespace: str | None
    headers: Mapping[str, str] | None
    expires: Duration | None


class _UniqueArguments(TypedDict, total=False):
    unique: str | None
    unique_for: Duration | timedelta | None
    unique_update: bool
    unique_while: HeldWhile | None


class FollowUpArguments(_ItemArguments, _UniqueArguments):
    """What may be said of a follow-up item; see ``PushOptions``."""


class PushManyArguments(_ItemArguments, total=False):
    """What may be said of a push of many; see ``PushOptions``."""

    files: Sequence[str | Path]


class PushArguments(PushManyArguments, _UniqueArguments):
    """What may be said of a push; see ``PushOptions``."""


@dataclass(frozen=True, slots=True)
class PushOptions:
    """What may be said of a push besides its payload.

    Attributes:
        name: the item's.
        priority: the lower the more urgent; None: the item's that is being worked, else 2.
        delay, at: not before: seconds or text like ``"5m"``, or a moment with a time zone.
        files: local paths.
        namespace: whose work it is; None: the present one.
        headers: short texts by name, for ``item.headers`` (``headers.py`` has the bounds); None:
            those of the item that is being worked. ``traceparent`` among them names the trace.
        expires: seconds or text like ``"1h"`` from now: an item that is popped later fails with the
            code ``EXPIRED``, and its handler is not called; None: never.
        unique: a key of 1 to 1,000 bytes, of this queue and namespace: while an item with it is
            not finished, a second push makes none and returns it. Not with files.
        unique_for: for how long the key is held after the item's end.
        unique_update: the item that has the key, if it waits still, takes the earlier time, the
            more urgent priority and this payload.
        unique_while: ``waiting``: an item that is being worked has the key no more, so this push
            makes another one; None: ``unfinished``.
    """

    name: str = ""
    priority: int | None = None
    delay: Duration | None = None
    at: datetime | None = None
    files: Sequence[str | Path] = ()
    namespace: str | None = None
    headers: Mapping[str, str] | None = None
    expires: Duration | None = None
    unique: str | None = None
    unique_for: Duration | timedelta | None = None
    unique_update: bool = False
    unique_while: HeldWhile | None = None

    def push(self, queue: str, payload: JsonObject) -> Push:
        """Return the item to be.

        Raises:
            ValueError: both a delay and a time, a duration that is none, a time without a zone, or
                headers or a unique key that are not allowed.
            TypeError: a priority that is no whole number, or a namespace that is no text.
        """
        nextrun = self.at
        if nextrun is not None and self.delay is not None:
            raise ValueError("push: give delay or at, not both")
        if nextrun is not None and nextrun.tzinfo is None:
            raise ValueError(f"push: at = {nextrun.isoformat()} has no time zone")
        if self.delay is not None:
            nextrun = datetime.now(UTC) + timedelta(seconds=seconds(self.delay, "push: delay"))
        content = self._metadata(nextrun).content()
        if content:
            payload = {**payload, KEY: content}
        elif KEY in payload:
            payload = {name: value for name, value in payload.items() if name != KEY}
        return Push(
            queue,
            payload,
            self.name,
            context.priority()
            if self.priority is None
            else context.checked_priority(self.priority),
            nextrun,
            tuple(str(path) for path in self.files),
            unique_of(
                self.unique,
                self.unique_for,
                self.unique_update,
                files=bool(self.files),
                namespace=self._namespace,
                held_while=self.unique_while,
            ),
        )

    @staticmethod
    def _expiry(nextrun: datetime | None, expires: Duration) -> float:
        at = datetime.now(UTC) + timedelta(seconds=seconds(expires, "push: expires"))
        if nextrun is not None and at <= nextrun:
            raise ValueError(f"push: expires = {expires!r} is before the item is due")
        return round(at.timestamp(), 3)

    @property
    def _namespace(self) -> str:
        if self.namespace is None:
            return context.namespace()
        return context.checked_namespace(self.namespace)

    def _metadata(self, nextrun: datetime | None) -> Metadata:
        headers, trace = context.headers(), None
        if self.headers is not None:
            headers, trace = headers_of(self.headers)
        return Metadata(
            namespace=self._namespace,
            headers=headers,
            trace=trace or context.trace(),
            due=None if nextrun is None else round(nextrun.timestamp(), 3),
            expires=None if self.expires is None else self._expiry(nextrun, self.expires),
        )


@runtime_checkable
class Target(Protocol[F]):
    """What takes pushes and holds them to its own types; ``F`` is its function's type."""

    @property
    def __call__(self) -> F:
        """The function that the items are for."""

    def pushes(self, payloads: Sequence[Any], options: PushOptions) -> list[Push]:
        """Return the items to be.

        Raises:
            ContractError: a payload, or a file that must come along, does not fit.
        """

    def reader(self) -> Callable[[JsonObject], Any]:
        """Return what makes the function's result of the payload that an item ended with."""


def pushes_to(
    target: str | Target[Any], payloads: Sequence[Any], options: Mapping[str, Any]
) -> list[Push]:
    """Return the items to be for a queue by name, or for what checks them itself.

    Args:
        options: as ``PushOptions`` takes them.

    Raises:
        ContractError: a payload does not fit.
        TypeError: neither a target nor a name, or an unknown option.
        ValueError: an option that is not allowed.
    """
    chosen = PushOptions(**options)
    if isinstance(target, str):
        return [chosen.push(target, json_object(one, f"queue {target}")) for one in payloads]
    if not isinstance(target, Target):
        raise TypeError(f"push: {target!r} is neither a handler nor a queue's name")
    return target.pushes(payloads, chosen)


def json_object(payload: Any, name: str) -> JsonObject:
    """Return a payload as plain JSON values.

    Raises:
        ContractError: it is no object, or has no JSON form.
    """
    if isinstance(payload, list | tuple | set | str):
        raise ContractError(_no_object(payload, name))
    try:
        found: JsonObject = json_form(payload)
    except NotJson as error:
        raise ContractError(f"The payload of {name} has no JSON form: {error}.") from None
    if not isinstance(found, dict):
        raise ContractError(_no_object(payload, name))
    return found


def _no_object(payload: object, name: str) -> str:
    return f"The payload of {name} is {kind_of(payload)}; allowed: a JSON object."
