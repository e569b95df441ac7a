"""A handle on a pushed item for code that blocks: what ``Pushed`` has, waited for."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from worker.durations import Duration
from worker.errors import CodedError
from worker.item.cancelled import Cancelling
from worker.producer.blocking_state import Loop
from worker.producer.pushed import Progress, Pushed

T = TypeVar("T")


class BlockingPushed(Generic[T]):
    """A handle on a pushed item; ``result`` blocks.

    Attributes:
        id, queue: of the item.
        existing, updated: as for ``worker.Pushed``.
    """

    def __init__(self, pushed: Pushed[T], loop: Loop) -> None:
        self.id = pushed.id
        self.queue = pushed.queue
        self.existing = pushed.existing
        self.updated = pushed.updated
        self._pushed = pushed
        self._loop = loop

    def __repr__(self) -> str:
        return f"Pushed({self.id!r}, queue={self.queue!r})"

    def result(
        self, timeout: Duration | None = None, *, raises: Sequence[type[CodedError]] = ()
    ) -> T:
        """Wait for the outcome and return what the handler returned; see ``worker.Pushed``.

        Raises:
            ItemFailed: the item has failed for good.
            CodedError: one of ``raises``.
            ItemNotFound: it was deleted, was never there, or this user has no rights on it.
            ResultTimeout: it has not ended in time.
        """
        return self._loop.wait(self._pushed.result(timeout, raises=raises))

    def state(self) -> str:
        """Return the item's state now; see ``worker.Pushed``."""
        return self._loop.wait(self._pushed.state())

    def progress(self) -> Progress | None:
        """Return how far it is, where its handler tells that."""
        return self._loop.wait(self._pushed.progress())

    def cancel(self, reason: str = "") -> Cancelling:
        """Cancel the item; see ``worker.Pushed``."""
        return self._loop.wait(self._pushed.cancel(reason))

    def signal(self, name: str, value: Any = None, *, key: str = "") -> str:
        """Tell the item something that it waits for; see ``worker.Pushed``."""
        return self._loop.wait(self._pushed.signal(name, value, key=key))
