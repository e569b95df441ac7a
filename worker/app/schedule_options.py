"""A schedule as data: what ``@schedule`` declares."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from worker.app.cron import Cron
from worker.item.headers import NONE

Missed = Literal["skip", "last", "all"]
MISSED: Final = ("last", "skip", "all")
MAX_NAME: Final = 100


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule of one handler.

    Attributes:
        name: tells it from the other schedules of its queue.
        payload: every item's; or a function that makes one, plain or async.
        takes_tick: whether that function is given the tick.
        missed: what becomes of ticks that were missed.
        headers: every item's.
    """

    name: str
    cron: Cron
    payload: Any
    takes_tick: bool
    missed: Missed
    headers: Mapping[str, str] = field(default_factory=lambda: NONE)

    async def payload_at(self, tick: datetime) -> Any:
        """Return the payload of a tick's item.

        Raises:
            Exception: whatever the function raises.
        """
        if not callable(self.payload):
            return self.payload
        given = (tick.astimezone(self.cron.zone),) if self.takes_tick else ()
        found = self.payload(*given)
        return await found if inspect.isawaitable(found) else found


def is_name(name: object) -> bool:
    """Whether a schedule may be called so; ``/`` parts queue and name where both are written."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= MAX_NAME
        and name.isprintable()
        and "/" not in name
    )


def wants_tick(function: Callable[..., Any]) -> bool:
    """Whether a payload function takes the tick.

    Raises:
        ValueError: it takes more than that.
    """
    if inspect.isclass(function):
        return False
    parameters = inspect.signature(function).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind not in _VARIABLE]
    if len(needed) > 1 or any(p.kind is p.KEYWORD_ONLY for p in needed):
        raise ValueError("allowed: one without parameters, or with one for the tick's moment")
    return bool(needed)


_VARIABLE: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
