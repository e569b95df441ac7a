"""What one client of the official library is told of: queues, exchanges and watches.

They are lost with the connection, and not registered again by this side.
"""

from worker.openiap.official.library import Library
from worker.openiap.replies import Replies


class Subscriptions:
    """The numbers under which the library tells of queues and watches.

    Args:
        replies: what is lost with them: the calls to others that wait for an answer.
    """

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._queues: dict[str, int] = {}
        self._watches: dict[str, int] = {}
        self._listening: dict[int, Library] = {}

    def add_queue(self, name: str, number: int, library: Library) -> None:
        """Note a queue; a registration of the same name before it is told no more."""
        self.remove_queue(name)
        self._queues[name] = number
        self._listening[number] = library

    def remove_queue(self, name: str) -> None:
        """Forget a queue; an unknown one is no error."""
        self._unlisten(self._queues.pop(name, 0))

    def add_watch(self, id: str, number: int, library: Library) -> None:
        """Note a watch."""
        self._watches[id] = number
        self._listening[number] = library

    def remove_watch(self, id: str) -> None:
        """Forget a watch; an unknown one is no error."""
        self._unlisten(self._watches.pop(id, 0))

    def forget(self) -> None:
        """Drop everything: the link is gone."""
        for number in tuple(self._listening):
            self._unlisten(number)
        self._queues.clear()
        self._watches.clear()
        self._replies.lost("the link dropped")

    def _unlisten(self, number: int) -> None:
        library = self._listening.pop(number, None)
        if library is not None:
            library.unlisten(number)
