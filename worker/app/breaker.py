"""Circuit breakers, as handlers declare them: data alone; ``worker.engine.breakers`` acts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker.durations import Duration, seconds
from worker.errors import BusinessError, HandlerError, Skip

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
MOST_FAILURES: Final = 10_000
NEVER: Final = (BusinessError, Skip)


@dataclass(frozen=True, slots=True, init=False)
class Breaker:
    """A system that handlers need, and what tells that it is away::

        outage = Breaker("payments", on=(httpx.TransportError,), failures=5, within="1m")

        @handler("orders", breakers=[outage])
        async def book(order: Order) -> None: ...

    Args:
        name: of the system: letters, digits, ``-`` and ``_``.
        on: the exceptions that say that it is away; without any, ``Outage(name)`` alone says so.
        failures: so many in the fleet within the time ``within`` open it.
        pause: how long nothing is popped then, before one item tries it; seconds or text. It
            doubles with each such item that fails.
        most: no pause is longer.

    Raises:
        HandlerError: a value that cannot be.
    """

    name: str
    on: tuple[type[Exception], ...]
    failures: int
    within: float
    pause: float
    most: float

    def __init__(
        self,
        name: str,
        *,
        on: type[Exception] | Sequence[type[Exception]] = (),
        failures: int = 5,
        within: Duration = "1m",
        pause: Duration = "1m",
        most: Duration = "30m",
    ) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise HandlerError(
                f"Breaker {name!r}: allowed: a name of at most 63 letters, digits, - and _, that"
                " begins with a letter."
            )
        if (
            isinstance(failures, bool)
            or not isinstance(failures, int)
            or not 1 <= failures <= MOST_FAILURES
        ):
            raise HandlerError(
                f"Breaker {name}: failures = {failures!r}; allowed: 1 to {MOST_FAILURES}."
            )
        given = (on,) if isinstance(on, type) else on
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise HandlerError(f"Breaker {name}: on = {on!r}; allowed: exception classes.")
        for kind in given:
            if not isinstance(kind, type) or not issubclass(kind, Exception):
                raise HandlerError(f"Breaker {name}: on: {kind!r} is not an exception class.")
            if issubclass(kind, NEVER):
                raise HandlerError(
                    f"Breaker {name}: on: {kind.__name__} says something of its item, and nothing"
                    " of a system that is away."
                )
        times = {
            option: _time(name, option, value)
            for option, value in (("within", within), ("pause", pause), ("most", most))
        }
        if times["most"] < times["pause"]:
            raise HandlerError(
                f"Breaker {name}: most = {most!r} is shorter than pause = {pause!r}."
            )
        for field, value in {
            "name": name,
            "on": tuple(given),
            "failures": failures,
            **times,
        }.items():
            object.__setattr__(self, field, value)


def breakers_of(called: str, given: object) -> tuple[Breaker, ...]:
    """Return the breakers of a handler.

    Raises:
        HandlerError: something else, or two of one name; the text names the handler.
    """
    what = f"Handler {called}: breakers"
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise HandlerError(f"{what} = {given!r}; allowed: a list of Breaker(…).")
    found: list[Breaker] = []
    for one in given:
        if not isinstance(one, Breaker):
            raise HandlerError(f"{what}: {one!r} is no Breaker(…).")
        if any(other.name == one.name for other in found):
            raise HandlerError(f"{what}: two are called {one.name}.")
        found.append(one)
    return tuple(found)


def _time(name: str, option: str, value: Duration) -> float:
    try:
        found = seconds(value)
    except (ValueError, OverflowError) as error:
        raise HandlerError(f"Breaker {name}: {option} = {error}.") from error
    if not 0 < found <= 365 * 86_400:
        raise HandlerError(
            f"Breaker {name}: {option} = {value!r}; allowed: more than 0, and a year at most."
        )
    return found
