"""What is too large for the loop: seen at a small cost, and worked in a thread.

The work on an item's values grows with them: checked, written, compared, masked. Up to ``LARGE`` it
is done where it is asked for, since a way to a thread and back costs more than it; beyond, in a
thread, so that the loop goes on. ``json`` and pydantic's core hold the interpreter meanwhile: what
they alone do stops the loop for as long, wherever it runs.
"""

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

LARGE: Final = 64 * 1024
"""Characters of JSON, or about as much of values. Measured: so much keeps the loop 0.6 ms for its
validation and less than 2 ms for any step on its way; a thread and back costs 0.05 ms of CPU, but a
busy machine may keep it waiting for several turns."""
_COST: Final = 8
"""Characters of JSON that a value takes, with what is around it, as a rule."""

P = ParamSpec("P")
T = TypeVar("T")


def is_large(value: object, limit: int = LARGE) -> bool:
    """Return whether JSON values would have more than about ``limit`` characters; a look costs no
    more than so much, whatever else is there."""
    left, waiting = limit, [value]
    while waiting:
        one = waiting.pop()
        left -= _COST
        if isinstance(one, str):
            left -= len(one)
        elif isinstance(one, dict):
            left -= _COST * len(one)
            if left > 0:
                waiting += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            if left <= _COST * len(one):
                return True
            waiting += one
        elif hasattr(one, "__dict__"):
            waiting.append(vars(one))
        if left <= 0:
            return True
    return False


async def apart(large: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function, in a thread where what it works on is large."""
    if not large:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
