"""Handlers: a plain typed function, and beside it what the worker is to know of it."""

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, ParamSpec, TypeVar

from worker.app.breaker import Breaker, breakers_of
from worker.app.callables import as_function
from worker.app.declared import DeclaredHandler
from worker.app.events import EventFunction, checked
from worker.app.middleware import Middleware, MiddlewareFunction, all_middleware
from worker.app.options import Execution, HandlerOptions, KeyFunction, NameFunction, UniqueFunction
from worker.app.rate import Rate, rate_of
from worker.app.signature import check_parameters
from worker.durations import Duration, seconds
from worker.durations import text as duration_text
from worker.errors import HandlerError, name_of
from worker.item.retry import Retrying, RetryPolicy, RetryRules, retry_policy
from worker.item.unique import HELD_WHILE, HeldWhile

DEFAULT_CONCURRENCY: Final[Mapping[Execution, int]] = {"async": 8, "thread": 4, "process": 1}
DEFAULT_TIMEOUT: Final = 3600.0
HARD_AFTER_SOFT: Final = 30.0
MAX_CONCURRENCY: Final = 10_000
MAX_PER_KEY: Final = 100


F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
D = TypeVar("D", bound=Callable[[Any], DeclaredHandler[Any]])


def _noting_what_is_given(declare: Callable[P, D]) -> Callable[P, D]:
    """Let a handler's options know which arguments were given, whatever their values."""

    @functools.wraps(declare)
    def noting(*args: P.args, **given: P.kwargs) -> D:
        declared = declare(*args, **given)
        said = {name: value for name, value in given.items() if name != "queue"}

        def noted(function: Any) -> DeclaredHandler[Any]:
            found = declared(function)
            found.options = replace(found.options, given=said)
            return found

        return noted  # type: ignore[return-value]

    return noting


@_noting_what_is_given
def handler(
    queue: str,
    *,
    concurrency: int | None = None,
    timeout: Duration | None = DEFAULT_TIMEOUT,
    hard_timeout: Duration | None = None,
    retry: Retrying | RetryRules | RetryPolicy | None = None,
    process: bool = False,
    memory: int | str | None = None,
    cpu: Duration | None = None,
    tags: tuple[str, ...] = (),
    on_exhausted: EventFunction | None = None,
    middleware: Sequence[Middleware | MiddlewareFunction] = (),
    evidence: bool = False,
    files: Sequence[str] = (),
    codes: Sequence[str] = (),
    key: KeyFunction | None = None,
    per_key: int | None = 1,
    rate: str | None = None,
    rate_per_key: str | None = None,
    keep: Duration | None = None,
    keep_failed: Duration | None = None,
    name: NameFunction | None = None,
    breakers: Sequence[Breaker] = (),
    store: bool = True,
    unique: UniqueFunction | None = None,
    unique_while: HeldWhile | None = None,
) -> Callable[[F], DeclaredHandler[F]]:
    """Declare a function as the handler of a work item queue.

    Args:
        queue: the queue's name; exactly as in OpenIAP, where the case matters.
        concurrency: items at once in one process; default 8 for ``async def``, 4 for ``def``, the
            number of cores with ``process=True``.
        timeout: after this ``item.stopping`` is set and an ``async def`` handler is cancelled;
            seconds or text like ``"5m"``; default 1 hour; None for never.
        hard_timeout: after this the item is written back as an application error with the
            handler's stack, whatever the handler does; default ``timeout`` + 30 s.
        retry: ``Backoff(…)``, ``Never``, or a dict from exception classes to those.
        process: run in a warm process of its own, which can be killed.
        memory: process handlers only: bytes or text like ``"512MB"``.
        cpu: process handlers only: CPU seconds per item.
        tags: free labels, shown by the tools.
        on_exhausted: told, with an ``Event``, when an item has failed because no attempt was left.
        middleware: functions entered around each run, after those of the worker and the routers.
        evidence: attach a file with log lines, environment (names) and local variables, masked,
            when an attempt fails.
        files: names or patterns like ``"*.pdf"``; an item that lacks one is a business error.
        codes: codes of errors for the contract, besides those found in the function.
        key: a function of the validated payload, quick and without effects; items for which it
            returns the same text (or whole number) run one after another, in the order in which
            they were pushed, whichever workers of the fleet have them. One that waits occupies no
            slot and costs no attempt. A retry leaves the key to the others meanwhile, and finds its
            old place in the line when it is due. What holds when stands in
            ``worker.engine.concurrency.key_lock``.
        per_key: so many of a key may run at once; None for any number (with ``rate_per_key``).
        rate: text like ``"100/min"`` or ``"5/10s"``: no more items begin in each window of the
            server's clock, in the whole fleet; the bound stands in
            ``worker.engine.concurrency.rate_limit``.
        rate_per_key: the same for the items of each key.
        keep, keep_failed: successful and failed items are deleted with their files once they have
            not changed for so long: seconds or text like ``"30d"``; default None, never.
        name: a function of the validated payload that returns what people call the item, where
            it is pushed without a name: ``name=lambda invoice: f"Invoice {invoice.number}"``.
        breakers: of the systems that it needs: while one is away nothing of the queue is popped;
            see ``Breaker``.
        store: False keeps no result: the payload stays as it was, chains see nothing of it, and
            ``pushed.result()`` gives None.
        unique: a function of the validated payload that returns the unique key of a push to this
            handler that is given none; None for an item that may be there several times. Pushes by
            the queue's name and schedules know nothing of it.
        unique_while: ``waiting``: such a key is held until the item is worked; else, until it has
            ended.

    Raises:
        HandlerError: an option that cannot be; the text names the handler, the option, its value
            and what is allowed.
    """

    if callable(queue):
        raise HandlerError(
            f"Handler {name_of(queue)}: the queue is missing; write @handler(QUEUE)."
        )

    def declare(given: F) -> DeclaredHandler[F]:
        plain = as_function(given, queue)
        called = plain.__qualname__
        check_parameters(plain, called)
        if not isinstance(queue, str) or not queue.strip():
            raise HandlerError(
                f"Handler {called}: queue = {queue!r}; allowed: the name of a work item queue."
            )
        for option, given_flag in (("process", process), ("evidence", evidence), ("store", store)):
            _flag(called, option, given_flag)
        is_async = inspect.iscoroutinefunction(plain)
        execution: Execution = "process" if process else "async" if is_async else "thread"
        soft = _duration(called, "timeout", timeout)
        hard = _duration(called, "hard_timeout", hard_timeout)
        if hard is None and soft is not None and hard_timeout is None:
            hard = soft + HARD_AFTER_SOFT
        if hard is not None and soft is not None and hard < soft:
            raise HandlerError(
                f"Handler {called}: hard_timeout = {duration_text(hard)} is shorter than"
                f" timeout = {duration_text(soft)}."
            )
        if execution != "process" and (memory is not None or cpu is not None):
            raise HandlerError(
                f"Handler {called}: memory and cpu limits need process=True; a thread cannot be"
                " held to them."
            )
        options = HandlerOptions(
            queue=queue,
            concurrency=_concurrency(called, concurrency, execution),
            timeout=soft,
            hard_timeout=hard,
            execution=execution,
            memory=None if memory is None else _memory(called, memory),
            cpu=_duration(called, "cpu", cpu),
            retry=_retry(called, retry),
            tags=texts(f"Handler {called}: tags", tags),
            on_exhausted=(
                None
                if on_exhausted is None
                else checked(on_exhausted, f"Handler {called}: on_exhausted")
            ),
            middleware=all_middleware(f"Handler {called}: middleware", middleware),
            evidence=evidence,
            files=texts(f"Handler {called}: files", files),
            codes=texts(f"Handler {called}: codes", codes),
            key=_key(called, key, per_key, rate_per_key),
            per_key=per_key,
            rate=_rate(called, "rate", rate),
            rate_per_key=_rate(called, "rate_per_key", rate_per_key),
            keep=_duration(called, "keep", keep),
            keep_failed=_duration(called, "keep_failed", keep_failed),
            item_name=_item_name(called, name),
            breakers=breakers_of(called, breakers),
            store=store,
            unique=_unique(called, unique, unique_while),
            unique_while=unique_while,
        )
        return DeclaredHandler(plain, options)

    return declare


def texts(what: str, given: Sequence[str]) -> tuple[str, ...]:
    """Return several texts; one alone would be taken for its letters.

    Raises:
        HandlerError: it is one text, or holds something else.
    """
    if (
        isinstance(given, str)
        or not isinstance(given, Iterable)
        or not all(isinstance(one, str) for one in given)
    ):
        raise HandlerError(f"{what} = {given!r}; allowed: a list of texts.")
    return tuple(given)


def _flag(name: str, option: str, value: object) -> None:
    # What is merely truthy would turn store="no" into its opposite.
    if not isinstance(value, bool):
        raise HandlerError(f"Handler {name}: {option} = {value!r}; allowed: True or False.")


def _duration(name: str, option: str, value: Duration | None) -> float | None:
    if value is None:
        return None
    try:
        found = seconds(value)
    except ValueError as error:
        raise HandlerError(f"Handler {name}: {option} = {error}.") from error
    if found <= 0:
        raise HandlerError(f"Handler {name}: {option} = {value!r}; allowed: more than 0, or None.")
    return found


def _item_name(called: str, name: NameFunction | None) -> NameFunction | None:
    if name is not None and not callable(name):
        raise HandlerError(
            f"Handler {called}: name = {name!r}; allowed: a function of the payload, for example"
            " name=lambda payload: payload.number."
        )
    return name


def _unique(
    called: str, unique: UniqueFunction | None, held_while: str | None
) -> UniqueFunction | None:
    if unique is not None and (not callable(unique) or inspect.iscoroutinefunction(unique)):
        raise HandlerError(
            f"Handler {called}: unique = {unique!r}; allowed: a plain function of the payload, for"
            " example unique=lambda payload: payload.number."
        )
    if held_while is not None and (unique is None or held_while not in HELD_WHILE):
        raise HandlerError(
            f"Handler {called}: unique_while = {held_while!r}; allowed:"
            f" {', '.join(map(repr, HELD_WHILE))}, beside unique."
        )
    return unique


def _concurrency(name: str, given: int | None, execution: Execution) -> int:
    if given is None:
        cores = os.cpu_count() or 1
        return cores if execution == "process" else DEFAULT_CONCURRENCY[execution]
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_CONCURRENCY:
        raise HandlerError(
            f"Handler {name}: concurrency = {given!r}; allowed: 1 to {MAX_CONCURRENCY}."
        )
    return given


_SIZES: Final = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}


def _memory(name: str, given: int | str) -> int:
    text = str(given).strip().upper()
    number = text.rstrip("KMGB")
    unit = text[len(number) :].strip()
    try:
        found = int(float(number) * _SIZES[unit if unit in _SIZES else unit + "B"])
    except (ValueError, KeyError, OverflowError) as error:
        raise HandlerError(
            f"Handler {name}: memory = {given!r}; allowed: bytes, or text like 512MB, 2GB."
        ) from error
    if found < 16 * 1024**2:
        raise HandlerError(f"Handler {name}: memory = {given!r}; allowed: at least 16MB.")
    return found


def _retry(name: str, given: Retrying | RetryRules | RetryPolicy | None) -> RetryPolicy:
    try:
        return retry_policy(given)
    except ValueError as error:
        raise HandlerError(f"Handler {name}: {error}.") from error


def _key(
    name: str, key: KeyFunction | None, per_key: int | None, rate_per_key: str | None
) -> KeyFunction | None:
    if per_key is not None and (
        isinstance(per_key, bool) or not isinstance(per_key, int) or not 1 <= per_key <= MAX_PER_KEY
    ):
        raise HandlerError(
            f"Handler {name}: per_key = {per_key!r}; allowed: 1 to {MAX_PER_KEY}, or None."
        )
    if key is None:
        for option, given in (("per_key", per_key != 1), ("rate_per_key", rate_per_key)):
            if given:
                raise HandlerError(
                    f"Handler {name}: {option} needs a key, for example"
                    " key=lambda payload: payload.customer."
                )
        return None
    if not callable(key) or inspect.isclass(key) or inspect.iscoroutinefunction(key):
        raise HandlerError(
            f"Handler {name}: key = {key!r}; allowed: a plain function of the payload, for example"
            " lambda payload: payload.customer."
        )
    if per_key is None and rate_per_key is None:
        raise HandlerError(
            f"Handler {name}: with per_key = None the key has no effect; give rate_per_key too."
        )
    return key


def _rate(name: str, option: str, given: str | None) -> Rate | None:
    if given is None:
        return None
    try:
        return rate_of(given)
    except ValueError as error:
        raise HandlerError(f"Handler {name}: {option} = {error}.") from error
