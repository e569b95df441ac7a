"""An item as it was popped: what is known of it, and what is kept beside its payload."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

from worker.item.headers import NONE
from worker.item.metadata import Metadata
from worker.item.origin import DeadLetter, Origin, origin_of
from worker.item.trace import Trace
from worker.item.type_form import form_of
from worker.openiap.workitem import JsonObject, Workitem

T = TypeVar("T")


class PoppedItem:
    """What an item is; an ``Item`` is one with a handler at work.

    Attributes:
        id, name, queue, priority: as OpenIAP has them.
        payload: the whole payload as popped (a JSON object).
        attempt: 1 for the first; the server's ``retries`` + 1.
        attempts_left: further attempts after this one, by the queue's maxretries; None if unknown.
        handler: the name of the handler that works it, or "".
        workitem: as it was popped.
        started: when this attempt was popped, UTC.
        deadline: when its timeout strikes, UTC; None without one.
        metadata: what is kept for the item beside its payload; see ``worker.item.metadata``.
        trace: where in a trace it is worked: in the worker's span where it makes one, else where
            it came from; None for nowhere.
        payload_shown: whether anybody was given the payload, and may have changed it.
    """

    def __init__(
        self,
        workitem: Workitem,
        *,
        started: datetime,
        deadline: datetime | None,
        maxretries: int | None,
        metadata: Metadata | None,
        handler: str,
        trace: Trace | None,
    ) -> None:
        self.handler = handler
        self.trace = trace or (None if metadata is None else metadata.trace)
        self._workitem = workitem
        self.id = workitem.id
        self.name = workitem.name
        self.queue = workitem.wiq
        self.priority = workitem.priority
        self._payload: JsonObject | None = None
        """None as long as nobody has asked: reading a large one takes its time."""
        self.payload_shown = False
        self.attempt = workitem.retries + 1
        self.attempts_left = None if maxretries is None else max(0, maxretries - self.attempt)
        self.started = started
        self.deadline = deadline
        self._metadata = metadata

    def __repr__(self) -> str:
        return f"Item({self.id!r}, queue={self.queue!r}, attempt={self.attempt})"

    @property
    def payload(self) -> JsonObject:
        """The whole payload as popped."""
        self.payload_shown = True
        if self._payload is None:
            self._payload = self._workitem.payload or {}
        return self._payload

    @payload.setter
    def payload(self, payload: JsonObject) -> None:
        self.payload_shown = True
        self._payload = payload

    @property
    def workitem(self) -> Workitem:
        """The work item as it was popped."""
        self.payload_shown = True
        return self._workitem

    @property
    def created(self) -> datetime | None:
        """When the item was pushed, UTC, to the second: MongoDB's ids begin with it; None for an
        id of another kind."""
        if len(self.id) != 24:
            return None
        try:
            return datetime.fromtimestamp(int(self.id[:8], 16), UTC)
        except ValueError:
            return None

    @property
    def origin(self) -> Origin | None:
        """The item that this one is a copy of, where a chain made it (``success_wiq``,
        ``failed_wiq``); None for an item that was pushed."""
        return None if self._metadata is None else origin_of(self._metadata.origin, self.id)

    @property
    def dead_letter(self) -> DeadLetter | None:
        """The failed item that this one is a copy of, with its error, where the queue is one for
        failed items (``failed_wiq``); else None."""
        found = self.origin
        return found if isinstance(found, DeadLetter) else None

    @property
    def metadata(self) -> Metadata:
        """What is kept for the item beside its payload."""
        if self._metadata is None:
            self._metadata = Metadata()
        return self._metadata

    @property
    def has_metadata(self) -> bool:
        """Whether anything is kept beside the payload."""
        return self._metadata is not None

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that it was pushed with; they cannot be changed."""
        return NONE if self._metadata is None else MappingProxyType(self._metadata.headers)

    @property
    def checkpointed(self) -> Any:
        """What an earlier attempt, or this one, gave to ``checkpoint`` last, as JSON; or None."""
        return None if self._metadata is None else self._metadata.checkpoint

    def checkpointed_as(self, kind: type[T]) -> T | None:
        """Return the checkpoint as a model, dataclass or other type.

        Raises:
            pydantic.ValidationError: it does not fit, as after a change of the type.
        """
        found = self.checkpointed
        if found is None:
            return None
        read: T = form_of(kind).read(found)
        return read
