"""A handle on a pushed item: its result, its state, how far it is, and its cancellation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from worker.durations import Duration, seconds
from worker.errors import WorkerError
from worker.item.cancelled import Cancelling
from worker.item.error_text import coded
from worker.item.metadata import taken_out
from worker.item.new_item import Sender, Sent
from worker.openiap.fields import duration_of, object_of, text_of
from worker.openiap.workitem import FAILED, JsonObject

T = TypeVar("T")


class ItemFailed(WorkerError):
    """The item whose result was waited for has failed.

    Attributes:
        item_id, queue: of the item.
        errortype: ``business`` or ``application``.
        code: the error's, or "".
        message: what the item shows.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        text = str(document.get("errormessage") or "it failed without a message")
        self.item_id = str(document.get("_id", ""))
        self.queue = str(document.get("wiq", ""))
        self.errortype = str(document.get("errortype") or "application")
        self.code, self.message = coded(text)
        super().__init__(f"item {self.item_id} of {self.queue} failed: {text}")


@dataclass(frozen=True, slots=True)
class Progress:
    """What ``item.progress`` told last.

    Attributes:
        share: 0 to 1.
        text: for people.
        at: when, UTC, as ISO text.
    """

    share: float
    text: str = ""
    at: str = ""


class Pushed(Generic[T]):
    """A handle on a pushed item.

    Attributes:
        id, queue: of the item.
        existing: it was there already, under the unique key of this push.
        updated: it waited, and took what this push brought (``unique_update``).
    """

    __slots__ = ("_read", "_sender", "existing", "id", "queue", "updated")

    def __init__(
        self, sent: Sent, queue: str, sender: Sender, read: Callable[[JsonObject], T]
    ) -> None:
        self.id: Final = sent.id
        self.existing: Final = sent.existing
        self.updated: Final = sent.updated
        self.queue: Final = queue
        self._sender = sender
        self._read = read

    def __repr__(self) -> str:
        return f"Pushed({self.id!r}, queue={self.queue!r})"

    async def result(self, timeout: Duration | None = None) -> T:
        """Wait for the outcome and return what the handler returned.

        Args:
            timeout: seconds or text like ``"5m"``; None waits for ever.

        Raises:
            ItemFailed: the item has failed for good.
            ResultTimeout: it has not ended in time.
        """
        limit = None if timeout is None else seconds(timeout)
        document = await self._sender.ended(self.id, self.queue, limit)
        if document.get("state") == FAILED:
            raise ItemFailed(document)
        payload = document.get("payload")
        return self._read(taken_out(payload)[0] if isinstance(payload, dict) else {})

    async def state(self) -> str:
        """Return the item's state now: ``new``, ``processing``, ``successful`` or ``failed``.

        Raises:
            ItemNotFound: there is none, or no rights.
        """
        return text_of((await self._sender.look(self.id)).get("state"))

    async def progress(self) -> Progress | None:
        """Return how far it is, where its handler tells that; None once it has succeeded.

        Raises:
            ItemNotFound: there is none, or no rights.
        """
        payload = (await self._sender.look(self.id)).get("payload")
        found = taken_out(payload)[1].progress if isinstance(payload, dict) else None
        if found is None:
            return None
        told = object_of(found)
        share, text = duration_of(told.get("share")) or 0.0, text_of(told.get("text"))
        return Progress(share, text, text_of(told.get("at")))

    async def cancel(self, reason: str = "") -> Cancelling:
        """Cancel the item; it takes the right to update it.

        One that waits has failed when this returns, with the code ``CANCELLED``. One that runs is
        asked to end, within a heartbeat of its worker (10 s): ``item.stopping``, then as at its
        timeout; what its handler returns all the same counts.

        Args:
            reason: one sentence, shown on the item.

        Returns:
            ``cancelled``, ``stopping``, or ``ended`` where it had ended before.

        Raises:
            ItemNotFound: there is none, or no rights.
        """
        return await self._sender.cancel(self.id, reason)
