"""Callbacks as OpenIAP documents them: some take the event, some a count as well."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

E = TypeVar("E")


@dataclass(slots=True, unsafe_hash=True)
class Counted:
    """Calls ``callback(event, count)``, the first event being number 1; equal by its callback."""

    callback: Callable[[Any, int], Any]
    count: int = field(default=0, compare=False)

    def __call__(self, event: Any) -> Any:
        """Count the event and tell it."""
        self.count += 1
        return self.callback(event, self.count)


def counted(callback: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return a callback that takes the event alone.

    Raises:
        TypeError: it can be called neither with an event nor with an event and a count.
    """
    if not callable(callback):
        raise TypeError(f"callback: {callback!r} is no function; allowed: one that takes the event")
    if isinstance(callback, Counted):
        return callback
    try:
        signature = inspect.signature(callback)
    except ValueError:  # written in C, with no signature to read
        return callback
    if _fits(signature, 1):
        return callback
    if _fits(signature, 2):
        return Counted(callback)
    raise TypeError(
        f"callback: {getattr(callback, '__name__', callback)}{signature} takes neither (event)"
        " nor (event, event_counter)"
    )


def _fits(signature: inspect.Signature, number: int) -> bool:
    try:
        signature.bind(*[None] * number)
    except TypeError:
        return False
    return True
