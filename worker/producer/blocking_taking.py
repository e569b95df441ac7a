"""Taking items in blocking code: ``take`` in ``with``, ``items`` in ``for``; see ``taking.py``."""

from collections.abc import Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, TypeVar, Unpack, overload

from worker.item.block import Block, Ending
from worker.item.files import InputFile, InputFiles
from worker.item.function_types import FieldFirst, PayloadFirst
from worker.item.group_desk import OnFailure
from worker.item.group_plan import GroupArguments, Member, Then
from worker.item.item import ItemFirst
from worker.item.push import Fields, FollowUpArguments, Target
from worker.item.taken import SETTLE, WORDS, Taken, left_early
from worker.producer.blocking_wait import waited_for
from worker.producer.groups.blocking import BlockingGroup
from worker.producer.taking import NoItem, Pulls, Wanted

M = TypeVar("M")
T = TypeVar("T")


class BlockingFile:
    """A file of the item; each call waits."""

    def __init__(self, block: Block, file: InputFile) -> None:
        self._block = block
        self._file = file

    @property
    def name(self) -> str:
        """The file's base name."""
        return self._file.name

    @property
    def id(self) -> str:
        """The stored file's id in ``fs.files``."""
        return self._file.id

    def size(self) -> int:
        """Return the stored length in bytes."""
        return waited_for(self._block.over_there(self._file.size()))

    def path(self) -> Path:
        """Download the file, whole, and return where it is; gone when the item is finished.

        Raises:
            FileTransferError: it did not arrive whole, or its name is not safe.
            StateError: the disk does not take it.
        """
        return waited_for(self._block.over_there(self._file.path()))

    def read_bytes(self) -> bytes:
        """Download the file and return its content."""
        return self.path().read_bytes()

    def read_text(self, encoding: str = "utf-8") -> str:
        """Download the file and return its content as text."""
        return self.path().read_text(encoding)


class BlockingFiles(Mapping[str, BlockingFile]):
    """The item's files by name."""

    def __init__(self, block: Block, files: InputFiles) -> None:
        self._files = files
        self._by_name: Final = MappingProxyType(
            {name: BlockingFile(block, file) for name, file in files.items()}
        )

    def __getitem__(self, name: str) -> BlockingFile:
        return self._by_name[self._files[name].name]  # the inner one names those that there are

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


class BlockingTakenItem(Taken):
    """One item of a program; ``with`` it, or leave it to the loop that gave it."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self.files: Final = BlockingFiles(block, block.item.files)

    def __enter__(self) -> "BlockingTakenItem":
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> bool:
        """Settle the item; errors that are words to the worker end here."""
        stopped = self._block.leave()
        self._close()
        if stopped is not None and isinstance(error, stopped):
            error = self._block.too_long().with_traceback(frames)
        self._settled(self._ending_of(error), error)
        return isinstance(error, WORDS)

    def settle(self) -> None:
        """The loop that gave it goes on; an item with a block of its own ends with that."""
        if not self._begun:
            self._settled(self._ending_of(None))

    def give_up(self) -> None:
        """The loop that gave it was left; an item with a block of its own ends with that."""
        if not self._begun:
            self._settled(self._ending or left_early())

    def _settled(self, ending: Ending, error: BaseException | None = None) -> None:
        if self._over:
            return
        frames = None if error is None else error.__traceback__
        try:
            self.state = self._end(ending).result(SETTLE)
        except TimeoutError:
            pass  # it is on disk, and goes on being sent
        finally:
            if error is not None:
                error.__traceback__ = frames

    def attach(self, source: str | Path | bytes, name: str = "") -> None:
        """Declare an output file; see ``Item.attach``."""
        self._wait(self._item.attach(source, name))

    def progress(self, share: float, text: str = "") -> None:
        """Show on the item how far it is; see ``Item.progress``."""
        self._wait(self._item.progress(share, text))

    def checkpoint(self, state: Any, *, now: bool = False) -> None:
        """Keep how far this attempt is; see ``Item.checkpoint``."""
        self._wait(self._item.checkpoint(state, now=now))

    @overload
    def push(self, target: str, payload: Fields, **options: Unpack[FollowUpArguments]) -> str: ...

    @overload
    def push(
        self, target: Target[ItemFirst[M, Any]], payload: M, **options: Unpack[FollowUpArguments]
    ) -> str: ...

    @overload
    def push(
        self,
        target: Target[FieldFirst[Any]],
        payload: Fields,
        **options: Unpack[FollowUpArguments],
    ) -> str: ...

    @overload
    def push(
        self, target: Target[PayloadFirst[M, Any]], payload: M, **options: Unpack[FollowUpArguments]
    ) -> str: ...

    def push(self, target: Any, payload: Any, **options: Any) -> str:
        """Ask for a follow-up item, pushed once this one has succeeded; see ``Item.push``."""
        return self._wait(self._item.push(target, payload, **options))

    def push_group(
        self,
        members: Iterable[Member],
        *,
        then: Then = None,
        on_failure: OnFailure = "wait",
        key: str = "",
        **options: Unpack[GroupArguments],
    ) -> BlockingGroup:
        """Push items that end together, at once; see ``Item.push_group``."""
        work = self._item.push_group(members, then=then, on_failure=on_failure, key=key, **options)
        return BlockingGroup(self._wait(work), self._wait)

    @property
    def group(self) -> BlockingGroup | None:
        """The group that this item is a member of, or comes after; None for none."""
        found = self._item.group
        return None if found is None else BlockingGroup(found, self._wait)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return waited_for(self._block.over_there(work))


class BlockingTaking:
    """``take``, to use in ``with``."""

    def __init__(self, pulls: Pulls, asked: Wanted) -> None:
        self._pulls = pulls
        self._asked = asked
        self._item: BlockingTakenItem | None = None

    def __enter__(self) -> BlockingTakenItem:
        self._item = next_item(self._pulls, self._asked).__enter__()
        return self._item

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> bool:
        item, self._item = self._item, None
        return item is not None and item.__exit__(kind, error, frames)


class BlockingItems(Iterator[BlockingTakenItem]):
    """``items``, to use in ``for``; see ``worker.producer.taking.Items``."""

    def __init__(self, pulls: Pulls, asked: Wanted) -> None:
        self._pulls = pulls
        self._asked = asked
        self._last: BlockingTakenItem | None = None

    def __iter__(self) -> "BlockingItems":
        return self

    def __next__(self) -> BlockingTakenItem:
        last, self._last = self._last, None
        if last is not None:
            last.settle()
        try:
            self._last = next_item(self._pulls, self._asked)
        except NoItem as none:
            if none.empty:
                raise StopIteration from None
            raise
        return self._last

    def close(self) -> None:
        """Leave the loop, and wait until the last item is settled."""
        last, self._last = self._last, None
        if last is not None:
            last.give_up()

    def __del__(self) -> None:
        """The loop was left."""
        if self._last is not None:
            self._last.give_up_soon()


def next_item(pulls: Pulls, asked: Wanted) -> BlockingTakenItem:
    """Wait for an item in this thread; where the wait is interrupted, none is lost."""
    asked = Wanted(asked.queue, asked.wait, asked.timeout)
    future = pulls.ask(asked)
    try:
        return BlockingTakenItem(future.result())
    except BaseException:
        future.cancel()
        pulls.forget(asked)
        raise
