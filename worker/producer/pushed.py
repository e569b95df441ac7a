"""A handle on a pushed item: its result, its state, how far it is, its signals and its
cancellation."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from worker.durations import Duration, seconds
from worker.errors import CodedError, WorkerError
from worker.item.cancelled import Cancelling
from worker.item.error_text import coded
from worker.item.failure_facts import facts_of
from worker.item.metadata import taken_out
from worker.item.new_item import Sender, Sent
from worker.item.signals import checked_name, text_of_value
from worker.openiap.fields import duration_of, object_of, text_of
from worker.openiap.large import apart, is_large
from worker.openiap.workitem import FAILED, JsonObject

T = TypeVar("T")


class ItemFailed(WorkerError):
    """The item whose result was waited for has failed.

    Attributes:
        item_id, queue: of the item.
        errortype: ``business`` or ``application``.
        code: the error's, or "".
        message: what the item shows.
        data: as ``BusinessError(data=…)`` was given it, secrets masked; None for none, and for more
            than 4,000 characters of it.
        raised: the name of the error's class, where that is one of the handler's own; or "".
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        text = str(document.get("errormessage") or "it failed without a message")
        self.item_id = str(document.get("_id", ""))
        self.queue = str(document.get("wiq", ""))
        self.errortype = str(document.get("errortype") or "application")
        self.code, self.message = coded(text)
        facts = facts_of(document.get("errorsource"))
        if not self.code and facts.code and text.startswith(f"[{facts.code}] "):  # with spaces
            self.code, self.message = facts.code, text.removeprefix(f"[{facts.code}] ")
        self.data: JsonObject | None = facts.data
        self.raised = facts.raised
        super().__init__(f"item {self.item_id} of {self.queue} failed: {text}")

    def as_one_of(self, kinds: Sequence[type[CodedError]]) -> CodedError | None:
        """Return the error itself, where its class is one of these; its constructor is not called.

        Raises:
            TypeError: one is no such class.
        """
        check_classes(kinds)
        kind_of = next((kind for kind in kinds if kind.__name__ == self.raised), None)
        if kind_of is None:
            return None
        error = kind_of.__new__(kind_of, self.message)
        error.args = (self.message,)
        error.message, error.code, error.data = self.message, self.code, self.data
        return error


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

    async def result(
        self, timeout: Duration | None = None, *, raises: Sequence[type[CodedError]] = ()
    ) -> T:
        """Wait for the outcome and return what the handler returned; None where it raised ``Skip``.

        Args:
            timeout: seconds or text like ``"5m"``; None waits for ever.
            raises: classes of the handler's own, below ``BusinessError`` or ``ApplicationError``:
                where the item has failed with one of these, it is raised as it was, with message,
                code and data.

        Raises:
            ItemFailed: the item has failed for good.
            CodedError: one of ``raises``; its cause is that ``ItemFailed``.
            ItemNotFound: it was deleted, was never there, or this user has no rights on it.
            ResultTimeout: it has not ended in time.
            TypeError: ``raises`` is no list of such classes.
        """
        limit = None if timeout is None else seconds(timeout, "timeout")
        check_classes(raises)
        document = await self._sender.ended(self.id, self.queue, limit)
        if document.get("state") == FAILED:
            failed = ItemFailed(document)
            again = failed.as_one_of(raises)
            if again is None:
                raise failed
            raise again from failed
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
        asked to end, at once where the server tells of changes, else within 3 s (what its worker
        was not told all the same it sees with its heartbeats): ``item.stopping``, then as at its
        timeout; what its handler returns all the same counts.

        Args:
            reason: one sentence, shown on the item.

        Returns:
            ``cancelled``, ``stopping``, or ``ended`` where it had ended before.

        Raises:
            ItemNotFound: there is none, or no rights.
            TypeError: the reason is no text.
        """
        if not isinstance(reason, str):
            raise TypeError(f"cancel({reason!r}): allowed: a reason, as a text.")
        return await self._sender.cancel(self.id, reason)

    async def signal(self, name: str, value: Any = None, *, key: str = "") -> str:
        """Tell the item something that it waits for, now or later: ``item.wait_for(name)`` returns
        the value. One that comes first is kept.

        Args:
            value: what has a JSON form: a model, a dataclass, JSON values; up to 512 KB of it.
            key: of signals with the same key, to the same item and name, only the first one counts.

        Returns:
            The signal's id.

        Raises:
            ItemNotFound: there is no such item, or no rights.
            SignalRefused: the item has ended, or name or value cannot be sent.
            ContractError: the value does not fit the contract, where its sender has one.
            TypeError: the key is no text.
        """
        if not isinstance(key, str):
            raise TypeError(f"signal(…, key={key!r}): allowed: a key, as a text.")
        text = await apart(is_large(value), text_of_value, checked_name(name), value)
        return await self._sender.signal(self.id, name, text, key)


def check_classes(kinds: object) -> None:
    """Refuse what ``raises=`` cannot be.

    Raises:
        TypeError: it is no list of error classes.
    """
    inside: Collection[object] = (None,)
    if isinstance(kinds, Collection) and not isinstance(kinds, str | bytes):
        inside = kinds
    for kind in inside:
        if not (isinstance(kind, type) and issubclass(kind, CodedError)):
            raise TypeError(
                f"raises = {kinds!r}; allowed: a list of classes below BusinessError or"
                " ApplicationError"
            )


def pushed_before(id: str) -> Sent:
    """Return what is known of an item that was pushed before.

    Raises:
        TypeError: its id is no text, or an empty one.
    """
    if not isinstance(id, str) or not id.strip():
        raise TypeError(f"pushed({id!r}): allowed: an item's id, as a text.")
    return Sent(id, existing=True)
