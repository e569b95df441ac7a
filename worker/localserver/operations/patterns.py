"""Regular expressions in queries: searched for a limited time, so that no client stops the server.

mongomock would give them to ``re``, which may search for years. Its own types of expressions are
asked to compile themselves, so what is put in their place here keeps mongomock as it is.
"""

import time
from typing import Any, Final

import regex

from worker.localserver.storage.errors import RefusedError

LONGEST: Final = 1_000
SECONDS: Final = 0.1
"""For one request, over all documents; the loop stands still meanwhile."""
FREE: Final = 20e-6
"""Seconds of one search that cost nothing: to read the document takes as long, and plain patterns
are asked of 100,000 documents."""
_OPTIONS: Final = {"i": regex.I, "m": regex.M, "x": regex.X, "s": regex.S}


class TimedPattern:
    """An expression that may be searched for until its request's time is over."""

    def __init__(self, pattern: "regex.Pattern[str]", clock: "_Clock") -> None:
        self._pattern = pattern
        self._clock = clock

    def __deepcopy__(self, memo: dict[int, Any]) -> "TimedPattern":
        return self

    def try_compile(self) -> "TimedPattern":
        """Return what mongomock searches with."""
        return self

    def search(self, text: object) -> bool:
        """Say whether a text has it; what is no text has not.

        Raises:
            RefusedError: it takes too long.
        """
        if not isinstance(text, str):
            return False
        try:
            found, took = self._timed_search(text)
            if took > FREE:
                # Once more: what was slow because its data was not at hand is quick now.
                found, again = self._timed_search(text)
                self._clock.left -= min(took, again)
        except (TimeoutError, RecursionError, MemoryError) as error:
            raise RefusedError(
                f"The regular expression {self._pattern.pattern[:100]!r} takes longer than"
                f" {SECONDS:g} s; allowed: simpler ones"
            ) from error
        return found

    def _timed_search(self, text: str) -> tuple[bool, float]:
        if self._clock.left <= 0:
            raise TimeoutError
        began = time.thread_time()  # of this thread alone: others may be busy meanwhile
        found = self._pattern.search(text, timeout=self._clock.left) is not None
        return found, time.thread_time() - began


class _Clock:
    """The time that one request has for its expressions."""

    def __init__(self) -> None:
        self.left = SECONDS


def with_timed_patterns(question: Any) -> Any:
    """Return a query, an update or a pipeline whose regular expressions cannot run away.

    Raises:
        RefusedError: one is too long or wrong, or stands where it cannot be limited.
    """
    return _timed(question, _Clock())


def _timed(value: Any, clock: _Clock) -> Any:
    if isinstance(value, list):
        return [_timed(part, clock) for part in value]
    if not isinstance(value, dict):
        return value
    for operator in ("$regexMatch", "$regexFind", "$regexFindAll"):
        if operator in value:
            raise RefusedError(f"The local server does not support {operator}; allowed: $regex")
    if "$regex" not in value:
        return {key: _timed(part, clock) for key, part in value.items()}
    rest = {key: part for key, part in value.items() if key not in ("$regex", "$options")}
    pattern = _compiled(value["$regex"], value.get("$options") or "")
    return {"$regex": TimedPattern(pattern, clock), **_timed(rest, clock)}


def _compiled(text: object, options: object) -> "regex.Pattern[str]":
    if not isinstance(text, str) or not isinstance(options, str):
        raise RefusedError("$regex and $options must be text")
    if len(text) > LONGEST:
        raise RefusedError(f"A $regex of {len(text)} characters; allowed: {LONGEST}")
    flags = 0
    for option in options:
        if option not in _OPTIONS:
            raise RefusedError(f"$options {options!r}; allowed: {', '.join(_OPTIONS)}")
        flags |= int(_OPTIONS[option])
    try:
        return regex.compile(text, flags)
    except (regex.error, RecursionError, OverflowError, MemoryError, ValueError) as error:
        said = str(error) or type(error).__name__
        raise RefusedError(f"The regular expression {text[:100]!r} is wrong: {said}") from error
