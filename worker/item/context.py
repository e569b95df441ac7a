"""What a piece of code can know of the item that it works for, wherever it is called from.

Set around the handler, carried into its thread, into tasks and ``asyncio.to_thread``, and inherited
by what is pushed meanwhile: a push without a priority or a namespace of its own takes these.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

from worker.item.new_item import DEFAULT_PRIORITY, Sender


class CurrentItem(Protocol):
    """What code that is not given the ``Item`` may know of it; see ``worker.item.item``."""

    id: str
    queue: str
    attempt: int
    priority: int
    handler: str

    @property
    def sender(self) -> Sender | None:
        """Who carries pushes that do not wait for the item's end."""


current_item: Final[ContextVar[CurrentItem | None]] = ContextVar("current_item", default=None)
"""The item being worked; set around the handler, carried into threads."""

current_namespace: Final[ContextVar[str]] = ContextVar("current_namespace", default="")


def item_id() -> str:
    """Return the id of the item being worked, or ""."""
    item = current_item.get()
    return "" if item is None else item.id


def attempt() -> int:
    """Return its attempt, 1 for the first; 0 outside of an item."""
    item = current_item.get()
    return 0 if item is None else item.attempt


def priority() -> int:
    """Return its priority, the lower the more urgent; OpenIAP's default outside of an item."""
    item = current_item.get()
    return DEFAULT_PRIORITY if item is None else item.priority


def namespace() -> str:
    """Return whose work this is: a free text (a tenant, say) that pushes pass on; "" for none."""
    return current_namespace.get()


@contextmanager
def in_namespace(name: str) -> Iterator[None]:
    """Push for somebody: what is pushed inside, and all that follows from it, has the namespace."""
    token = current_namespace.set(name)
    try:
        yield
    finally:
        current_namespace.reset(token)
