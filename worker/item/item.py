"""The item that a handler is given: its files, and what the handler may do with it."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, Final, Protocol, TypeVar, Unpack, overload

from worker.item.files import Attachment, InputFile, InputFiles, ItemFiles
from worker.item.function_types import FieldFirst, PayloadFirst
from worker.item.grouping import Grouping
from worker.item.long_work import StepClock, refuse_inside
from worker.item.metadata import Metadata, checkpoint_form, progress_of
from worker.item.new_item import FollowUp, Push, Sender
from worker.item.popped_item import PoppedItem
from worker.item.push import Fields, FollowUpArguments, Target, pushes_to
from worker.item.signal_waits import SignalStore, SignalWaits
from worker.item.steps import Part
from worker.item.trace import Trace
from worker.openiap.errors import FileTransferError
from worker.openiap.large import apart, is_large
from worker.openiap.values import iso
from worker.openiap.workitem import MOST_FILES, JsonObject, Workitem

M = TypeVar("M")
T = TypeVar("T")

# How a handler's function begins that takes the item first; see ``function_types.py``.
ItemOnly = Callable[["Item"], T]
ItemFirst = Callable[Concatenate["Item", M, ...], T]
AsyncItemOnly = Callable[["Item"], Coroutine[Any, Any, T]]
AsyncItemFirst = Callable[Concatenate["Item", M, ...], Coroutine[Any, Any, T]]


class ItemLog(Protocol):
    """Log lines that carry the item's id and queue."""

    def debug(self, message: str, **fields: object) -> None:
        """Log what helps to find an error."""

    def info(self, message: str, **fields: object) -> None:
        """Log what happened."""

    def warn(self, message: str, **fields: object) -> None:
        """Log what somebody should look at."""

    def error(self, message: str, **fields: object) -> None:
        """Log what went wrong."""


class ItemStore(SignalStore, Protocol):
    """Where an item's progress, checkpoints and follow-up items go; the worker provides it."""

    @property
    def sender(self) -> Sender | None:
        """Who carries pushes that do not wait for the item's end."""

    async def save(self, item: "Item", *, now: bool) -> None:
        """Store the item's metadata: at once, or within the throttle's interval.

        Raises:
            LostItem: another has the item by now.
        """

    async def accept(self, item: "Item", push: Push) -> FollowUp:
        """Return what is kept of a follow-up item until its item has succeeded.

        Raises:
            QueueNotFound: no such queue.
        """

    async def clock(self, item: "Item") -> StepClock:
        """Return what the item's sleeps go by."""

    async def keep(self, item: "Item", part: Part, key: str) -> None:
        """Return once an entry of the item's steps is stored.

        Raises:
            LostItem: another has the item by now.
        """

    async def sleeps(self, item: "Item", until: datetime) -> None:
        """Hear that the item falls asleep."""


class Bridge(Protocol):
    """How a ``def`` handler waits for asynchronous work; its executor provides it."""

    def __call__(self, work: Coroutine[Any, Any, T]) -> T: ...


NO_FILES: Final = InputFiles({})


class Item(PoppedItem, SignalWaits, Grouping):
    """One attempt at a work item; what is known of it is in ``popped_item.py``.

    Attributes:
        files: the item's files by name, downloaded when asked for.
        log: log lines with the item's id and queue on them.
    """

    def __init__(
        self,
        workitem: Workitem,
        *,
        files: ItemFiles,
        log: ItemLog,
        started: datetime,
        deadline: datetime | None = None,
        maxretries: int | None = None,
        metadata: Metadata | None = None,
        store: ItemStore | None = None,
        handler: str = "",
        trace: Trace | None = None,
    ) -> None:
        super().__init__(
            workitem,
            started=started,
            deadline=deadline,
            maxretries=maxretries,
            metadata=metadata,
            handler=handler,
            trace=trace,
        )
        self.files = (
            InputFiles({f.filename: InputFile(f, files) for f in workitem.files})
            if workitem.files
            else NO_FILES
        )
        self.log = log
        self._files = files
        self._stopping = False
        self._attachments: dict[str, Attachment] = {}
        self._bridge: Bridge | None = None
        self._store = store
        self._pushes: list[FollowUp] | None = None

    @property
    def sender(self) -> Sender | None:
        """Who carries pushes that do not wait for this item's end; the worker's own connection."""
        return None if self._store is None else self._store.sender

    @property
    def stopping(self) -> bool:
        """True once this attempt should end: its time is up, or the worker is stopping.

        Safe to read from threads; a long loop in a ``def`` handler looks at it now and then, and
        raises (``Retry``, say) when its work is not complete: what a handler returns counts as
        done, however late.
        """
        return self._stopping

    def stop(self) -> None:
        """Ask the handler to end; the worker calls this."""
        self._stopping = True

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait in a ``def`` handler for what an ``async def`` one would await.

        It works for the item's own files and for every call of the ``Client``::

            scan = item.wait(item.files["scan.pdf"].path())
            item.wait(item.attach(receipt))

        Args:
            work: the coroutine; it runs on the worker's loop, with this item as the current one.

        Returns:
            What the coroutine returns.

        Raises:
            RuntimeError: called where ``await`` is the way: in an ``async def`` handler.
            TimeLimitExceeded: this attempt was given up meanwhile.
            Exception: whatever the coroutine raises.
        """
        if self._bridge is None:
            work.close()
            raise RuntimeError("item.wait() is for def handlers; an async def handler awaits")
        return self._bridge(work)

    def wait_through(self, bridge: Bridge) -> None:
        """Set how ``wait`` waits; the executor of a ``def`` handler calls this."""
        self._bridge = bridge

    async def attach(self, source: str | Path | bytes, name: str = "") -> None:
        """Declare an output file; it is stored with the item when the item is written back.

        Args:
            source: a path, or the content itself.
            name: the name it gets; the path's own name by default, mandatory for bytes.

        Raises:
            FileTransferError: no such file, a name that is not safe, or too many.
            StateError: the worker's disk does not take it. Let out, or raised as another error, it
                hands the item back without an attempt.
            ValueError: bytes without a name.
        """
        refuse_inside("item.attach")
        if isinstance(source, bytes) and not name:
            raise ValueError("attach(bytes) needs a name")
        origin = Path(source) if isinstance(source, str) else source
        shown = name or (origin.name if isinstance(origin, Path) else "")
        if len(self._attachments) >= MOST_FILES and shown not in self._attachments:
            raise FileTransferError(
                f"{shown} cannot be attached: an item can be given {MOST_FILES:,} files, and has"
                " them; put them into an archive",
                operation="attach",
                item_id=self.id,
            )
        self._attachments[shown] = await self._files.keep(origin, shown)

    async def progress(self, share: float, text: str = "") -> None:
        """Show on the item how far it is; written at most once a second, the latest wins.

        Args:
            share: 0 to 1.
            text: for people, up to 200 characters.

        Raises:
            CheckpointError: the share is not from 0 to 1, or the text is none.
            LostItem: another has the item by now; the handler should end.
        """
        self.metadata.progress = progress_of(share, text, iso(datetime.now(UTC)))
        if self._store is not None:
            await self._store.save(self, now=False)

    async def checkpoint(self, state: Any, *, now: bool = False) -> None:
        """Keep how far this attempt is; the next one finds it in ``checkpointed``.

        It is stored at most once a second, the latest wins, and with the outcome of an attempt
        that fails; so only a crash can lose the last second.

        Args:
            state: what has a JSON form: a dict, model, dataclass; up to 1 MB of it.
            now: return only when it is stored.

        Raises:
            CheckpointError: it would not come back as it is, or is too large.
            LostItem: another has the item by now; the handler should end.
        """
        self.metadata.checkpoint = await apart(is_large(state), checkpoint_form, state, self.id)
        if self._store is not None:
            await self._store.save(self, now=now)

    @overload
    async def push(
        self, target: str, payload: Fields, **options: Unpack[FollowUpArguments]
    ) -> str: ...

    @overload
    async def push(
        self, target: Target[ItemFirst[M, Any]], payload: M, **options: Unpack[FollowUpArguments]
    ) -> str: ...

    @overload
    async def push(
        self,
        target: Target[FieldFirst[Any]],
        payload: Fields,
        **options: Unpack[FollowUpArguments],
    ) -> str: ...

    @overload
    async def push(
        self, target: Target[PayloadFirst[M, Any]], payload: M, **options: Unpack[FollowUpArguments]
    ) -> str: ...

    async def push(self, target: Any, payload: Any, **options: Any) -> str:
        """Ask for a follow-up item: pushed only once this item has succeeded, and at most once,
        whatever dies meanwhile.

        Args:
            target: a handler (the payload is checked against its model) or a queue's name.
            payload: the new item's.
            options: ``name``, ``priority``, ``delay``, ``at``, ``namespace``, ``headers``,
                ``unique``, ``unique_for``, ``unique_update``, ``unique_while``, as for
                ``handler.push``.

        Returns:
            The id that the new item will have; until then whoever asks for it is told
            ``ItemNotFound``. With ``unique`` another one's item may have the key when it comes to
            it, and then there is none of this id.

        Raises:
            ContractError: the payload does not fit the target handler.
            QueueNotFound: no such queue.
        """
        refuse_inside("item.push")
        (push,) = await apart(is_large(payload), pushes_to, target, [payload], options)
        return (await self.take_push(push)).id

    async def take_metadata(self, metadata: Metadata, *, now: bool) -> None:
        """Take the metadata of this item's other half, in a process of its own, and store them."""
        metadata.steps = self.metadata.steps  # they come one by one
        self._metadata = metadata
        if self._store is not None:
            await self._store.save(self, now=now)

    async def take_entry(self, part: Part, key: str, entry: JsonObject) -> None:
        """Take an entry of the steps of this item's other half, and store it."""
        self.steps.put(part, key, entry)
        await self._store_entry(part, key)

    async def clock(self) -> StepClock:
        """Return what its sleeps go by."""
        if self._store is None:  # nobody would call its handler again
            return StepClock(datetime.now(UTC), awake=True)
        return await self._store.clock(self)

    async def _store_entry(self, part: Part, key: str) -> None:
        self.metadata.steps = self.steps.content
        if self._store is not None:
            await self._store.keep(self, part, key)

    async def _tell_asleep(self, until: datetime) -> None:
        if self._store is not None:
            await self._store.sleeps(self, until)

    @property
    def signal_store(self) -> SignalStore | None:
        """Where its signals come from."""
        return self._store

    async def take_push(self, push: Push) -> FollowUp:
        """Take a follow-up item that was checked already, as one of this item's other half was."""
        if self._store is None:
            raise RuntimeError("this item has no worker around it: nothing can be pushed")
        found = await self._store.accept(self, push)
        if self._pushes is None:
            self._pushes = []
        self._pushes.append(found)
        return found

    @property
    def pushes(self) -> tuple[FollowUp, ...]:
        """What ``push`` asked for so far."""
        return () if self._pushes is None else tuple(self._pushes)

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """What ``attach`` declared so far."""
        return tuple(self._attachments.values())
