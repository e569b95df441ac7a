"""Policies as data: when an exception is retried, and after how long. No I/O, no clock."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from worker.durations import Duration, seconds


@dataclass(frozen=True, slots=True, init=False)
class Backoff:
    """Growing waits between attempts: ``first``, then ``factor`` times more each, up to ``max``.

    Args:
        first: the wait after the first attempt (seconds, or text like ``"5s"``).
        factor: growth from one attempt to the next, at least 1.
        max: no wait is longer.
        jitter: spread each wait evenly over its upper half, so that items do not come in step.
        attempts: give up after so many attempts, even where the queue would allow more.

    Raises:
        ValueError: one of them is not allowed; the text says what is.
    """

    first: float
    factor: float
    max: float
    jitter: bool
    attempts: int | None

    def __init__(
        self,
        first: Duration = "5s",
        *,
        factor: float = 2.0,
        max: Duration = "1h",
        jitter: bool = True,
        attempts: int | None = None,
    ) -> None:
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not factor >= 1:
            raise ValueError(f"factor {factor!r}: a backoff's factor is a number of at least 1")
        if attempts is not None and (type(attempts) is not int or attempts < 1):
            raise ValueError(f"attempts {attempts!r}: a whole number of at least 1, or None")
        if not isinstance(jitter, bool):
            raise ValueError(f"jitter {jitter!r}: True or False")
        object.__setattr__(self, "first", seconds(first, "first"))
        object.__setattr__(self, "factor", float(factor))
        object.__setattr__(self, "max", seconds(max, "max"))
        object.__setattr__(self, "jitter", jitter)
        object.__setattr__(self, "attempts", attempts)

    def wait(self, attempt: int, chance: random.Random) -> float:
        """Return the seconds to wait after the given attempt (1 for the first)."""
        try:
            full = min(self.max, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            full = self.max
        return full * chance.uniform(0.5, 1.0) if self.jitter else full


@dataclass(frozen=True, slots=True)
class NeverRetry:
    """The item fails at once."""


@dataclass(frozen=True, slots=True)
class QueueDecides:
    """Retried after the queue's own ``retrydelay``, up to its ``maxretries``."""


Never: Final = NeverRetry()
Retrying = Backoff | NeverRetry | QueueDecides
RetryRules = Mapping[type[BaseException], Retrying]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which exceptions are retried how; the most specific class wins, else ``otherwise``."""

    rules: tuple[tuple[type[BaseException], Retrying], ...] = ()
    otherwise: Retrying = QueueDecides()

    def for_error(self, error: BaseException) -> Retrying:
        """Return the rule for an exception."""
        return self.named(error) or self.otherwise

    def named(self, error: BaseException) -> Retrying | None:
        """Return the rule that names the class of an exception or one above it, or None."""
        for kind in type(error).__mro__:
            for named, rule in self.rules:
                if kind is named:
                    return rule
        return None


def retry_policy(given: "Retrying | RetryRules | RetryPolicy | None") -> RetryPolicy:
    """Make a policy from what ``@handler(retry=…)`` was given.

    Raises:
        ValueError: a key that is no exception class, or a value that is no rule.
    """
    if given is None:
        return RetryPolicy()
    if isinstance(given, RetryPolicy):
        return given
    if isinstance(given, Backoff | NeverRetry | QueueDecides):
        return RetryPolicy(otherwise=given)
    if not isinstance(given, Mapping):
        raise ValueError(
            f"retry = {given!r}; allowed: a Backoff, Never, or a dict from exception classes to"
            " those"
        )
    for kind, rule in given.items():
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ValueError(f"retry: {kind!r} is not an exception class")
        if not isinstance(rule, Backoff | NeverRetry | QueueDecides):
            raise ValueError(f"retry[{kind.__name__}]: {rule!r} is neither a Backoff nor Never")
    return RetryPolicy(rules=tuple(given.items()))
