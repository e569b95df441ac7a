"""Changes of documents, told to whoever watches the collection."""

from collections.abc import Callable, Mapping
from typing import Any

Listener = Callable[[str, dict[str, Any]], None]
Interest = Callable[[str, Mapping[str, Any]], bool]
"""Whether a change may matter, judged by its operation and some of the document's fields."""


class Changes:
    """Hands each change to the listeners of its collection; costs nothing where there are none."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[tuple[Listener, Interest | None]]] = {}

    def wanted(
        self, collection: str, operation: str = "", glimpse: Mapping[str, Any] | None = None
    ) -> bool:
        """Say whether anybody listens, so that documents need not be built for nobody.

        Args:
            collection: where it happens.
            operation, glimpse: the change and some of the document's fields, where it is at hand.
        """
        listeners = self._listeners.get(collection)
        if not listeners or glimpse is None:
            return bool(listeners)
        for _, interest in listeners:  # noqa: SIM110 (twice per item: no generator)
            if interest is None or interest(operation, glimpse):
                return True
        return False

    def tell(self, collection: str, operation: str, document: dict[str, Any]) -> None:
        """Hand a change on.

        Args:
            collection: where it happened.
            operation: ``insert``, ``update``, ``replace`` or ``delete``.
            document: the document as it is now; of a deleted one only what is known of it.
        """
        for listener, _ in tuple(self._listeners.get(collection, ())):
            listener(operation, document)

    def listen(self, collection: str, listener: Listener, interest: Interest | None = None) -> None:
        """Add a listener; without ``interest`` every change may matter to it."""
        self._listeners.setdefault(collection, []).append((listener, interest))

    def ignore(self, collection: str, listener: Listener) -> None:
        """Remove a listener."""
        listeners = self._listeners.get(collection, [])
        left = [one for one in listeners if one[0] is not listener]
        if left:
            self._listeners[collection] = left
        else:
            self._listeners.pop(collection, None)
