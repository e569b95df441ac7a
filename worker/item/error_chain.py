"""What stands behind an error, and which error of a group decides.

1. Behind an error stand its cause, else its context, and the errors of its group; so many are
   told, each once, however they refer to each other.
2. Of a group (``TaskGroup``, ``ExceptionGroup``) one error decides what becomes of the item, by
   this order, the first of equals: a ``BusinessError``; a result that cannot be written, or a
   class with ``Never``; a ``Retry``; a class with a ``Backoff``; any other; a ``Skip``, which
   therefore counts only where nothing else was raised.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Final

from worker.errors import ApplicationError, BusinessError, Retry, Skip
from worker.item.error_text import (
    MAX_MESSAGE,
    MAX_SOURCE,
    attribute_of,
    clip,
    described,
    in_short,
    source_of,
)
from worker.item.retry import Backoff, NeverRetry, RetryPolicy

MOST_TOLD: Final = 12
MOST_LOOKED_AT: Final = 1_000
MOST_IN_MESSAGE: Final = 4
MAX_LABEL: Final = 60
MAX_SHORT_SOURCE: Final = 4_000

CAUSED: Final = "caused by"
WHILE: Final = "while handling"
WITH: Final = "with"
_CODE: Final = re.compile(rf"[A-Za-z0-9_.:-]{{1,{MAX_LABEL}}}")


class ResultError(ApplicationError):
    """What the handler returned cannot be written back."""


def members(error: BaseException) -> list[BaseException]:
    """Return the errors of a group and of the groups in it, in order; what is none is alone."""
    found: list[BaseException] = []
    waiting, looks = [error], 0
    while waiting and looks < MOST_LOOKED_AT:
        one = waiting.pop()
        looks += 1
        if isinstance(one, BaseExceptionGroup):
            waiting += reversed(one.exceptions)
        else:
            found.append(one)
    return found or [error]


def deciding(error: BaseException, policy: RetryPolicy | None = None) -> BaseException:
    """Return the error that decides: of a group one of its members, else the error itself."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    return min(members(error), key=lambda one: _rank(one, policy))  # the first of equals


def label_of(error: BaseException) -> str:
    """Return what kind of error it is, for metrics: its code, else its class."""
    decided = deciding(error)
    code = attribute_of(decided, "code")
    if isinstance(code, str) and _CODE.fullmatch(code):
        return code
    return type(decided).__name__[:MAX_LABEL]


def class_of(error: BaseException) -> str:
    """Return the name of the class of the error that decides."""
    return type(deciding(error)).__name__[:MAX_LABEL]


def by_weight(errors: Sequence[BaseException]) -> list[BaseException]:
    """Return errors with those first that decide whatever the rules are."""
    return sorted(errors, key=lambda one: _rank(deciding(one), None))


def _rank(error: BaseException, policy: RetryPolicy | None) -> int:
    if isinstance(error, BusinessError):
        return 0
    rule = None if policy is None else policy.named(error)
    if isinstance(error, ResultError) or isinstance(rule, NeverRetry):
        return 1
    if isinstance(error, Retry):
        return 2
    if isinstance(rule, Backoff):
        return 3
    return 5 if isinstance(error, Skip) else 4


def behind(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """Yield what stands behind an error, with how it is related, nearest first; bounded."""
    seen, waiting, told = {id(error)}, [error], 0
    while waiting:
        one = waiting.pop(0)
        related: list[tuple[str, BaseException]] = []
        if one.__cause__ is not None:
            related.append((CAUSED, one.__cause__))
        elif one.__context__ is not None and not one.__suppress_context__:
            related.append((WHILE, one.__context__))
        if isinstance(one, BaseExceptionGroup):
            related += [(WITH, member) for member in one.exceptions[:MOST_TOLD]]
        for relation, other in related:
            if id(other) in seen or isinstance(other, asyncio.CancelledError):
                continue
            if told == MOST_TOLD:
                return
            seen.add(id(other))
            told += 1
            yield relation, other
            waiting.append(other)


def message_of(error: BaseException, decided: BaseException | None = None) -> str:
    """Return one message for the item: the error that decides, and in short what is behind it and
    is not said yet.

    Args:
        decided: the member of a group that decides; by default the first that would.
    """
    chosen = deciding(error) if decided is None else decided
    text = described(chosen)
    where = getattr(error, "raised_in", "")
    if chosen is not error and where and not isinstance(chosen, BusinessError | Retry):
        text = f"{where}: {text}"
    others = [
        (relation, one)
        for relation, one in (*behind(chosen), *(() if chosen is error else behind(error)))
        if one is not chosen and not (relation == WITH and isinstance(one, BaseExceptionGroup))
    ]
    told = ((relation, in_short(one)) for relation, one in others)
    shown = list(dict.fromkeys(f"{relation} {one}" for relation, one in told if one not in text))
    if len(shown) > MOST_IN_MESSAGE:
        shown[MOST_IN_MESSAGE:] = ["and more"]
    return clip(text + (f" ({'; '.join(shown)})" if shown else ""), MAX_MESSAGE)


def whole_source(error: BaseException) -> str:
    """Return the traceback of an error, and those of what stands behind it."""
    parts = [source_of(error)]
    parts += [
        f"\n{relation}:\n{clip(source_of(one), MAX_SHORT_SOURCE)}"
        for relation, one in behind(error)
    ]
    return clip("".join(parts), MAX_SOURCE)
