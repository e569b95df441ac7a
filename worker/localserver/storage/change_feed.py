"""Changes of documents, told to whoever watches the collection."""

from collections.abc import Callable, Mapping
from typing import Any

OnChange = Callable[[str, dict[str, Any]], None]
Interest = Callable[[str, Mapping[str, Any]], bool]
"""Whether a change may matter, judged by its operation and some of the document's fields."""


class ChangeFeed:
    """Hands each change to those who watch its collection; costs nothing where nobody does."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[tuple[OnChange, Interest | None]]] = {}
        self.number = 0
        """How many changes there were: tells one from the next, for what all who hear of one share.
        """

    def wanted(
        self, collection: str, operation: str = "", known: Mapping[str, Any] | None = None
    ) -> bool:
        """Say whether anybody listens, so that documents need not be built for nobody.

        Args:
            collection: where it happens.
            operation, known: the change and some of the document's fields, where it is at hand.
        """
        subscribers = self._subscribers.get(collection)
        if not subscribers or known is None:
            return bool(subscribers)
        for _, interest in subscribers:  # noqa: SIM110 (twice per item: no generator)
            if interest is None or interest(operation, known):
                return True
        return False

    def publish(self, collection: str, operation: str, document: dict[str, Any]) -> None:
        """Hand a change on.

        Args:
            collection: where it happened.
            operation: ``insert``, ``update``, ``replace`` or ``delete``.
            document: the document as it is now; a deleted one as it was, of an item its id alone.
        """
        self.number += 1
        for on_change, _ in tuple(self._subscribers.get(collection, ())):
            on_change(operation, document)

    def subscribe(
        self, collection: str, on_change: OnChange, interest: Interest | None = None
    ) -> None:
        """Call somebody for each change; without ``interest`` every change may matter to them."""
        self._subscribers.setdefault(collection, []).append((on_change, interest))

    def unsubscribe(self, collection: str, on_change: OnChange) -> None:
        """Call them no more."""
        subscribers = self._subscribers.get(collection, [])
        left = [one for one in subscribers if one[0] is not on_change]
        if left:
            self._subscribers[collection] = left
        else:
            self._subscribers.pop(collection, None)
