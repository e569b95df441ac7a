"""An item that a program has taken out of its queue, and works in a block of its own.

1. It is what a handler's ``Item`` is, which lives on a loop of another thread: what waits for the
   server or the disk is done there, whatever loop the block runs on.
2. How the block is left decides what the item ends as, unless it was decided before.
3. Past its time the block is stopped, and the item counts as an application error, whatever the
   block says from then on. Where somebody cancels the item, it is stopped as well.
"""

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Token
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, overload

from pydantic import ValidationError

from worker.errors import (
    ApplicationError,
    BusinessError,
    Retry,
    Skip,
    WorkerError,
)
from worker.item.block import Block, Ending, Fate, over
from worker.item.context import CurrentItem, current_item, current_namespace
from worker.item.error_text import problems_of
from worker.item.files import InputFile, InputFiles
from worker.item.function_types import FieldFirst, PayloadFirst
from worker.item.group_desk import GroupDesk
from worker.item.grouping import Grouping
from worker.item.item import ItemFirst, ItemLog
from worker.item.new_item import Sender
from worker.item.origin import Origin
from worker.item.push import Fields, FollowUpArguments, Target
from worker.item.taken_work import FilesOverThere, GroupsOverThere, OnlyHandlers
from worker.item.trace import Trace
from worker.item.type_form import form_of
from worker.openiap.workitem import JsonObject, Workitem, WorkitemFile

M = TypeVar("M")
T = TypeVar("T")

SETTLE: Final = 30.0
"""Seconds for which leaving a block waits until the server has the outcome. It is on disk by then,
and goes on being sent."""
WORDS: Final = (BusinessError, ApplicationError, Retry, Skip)
"""What is said to the worker: it ends with its block, and everything else goes on through it."""
LEFT_EARLY: Final = "the program went on without saying whether the item was done"


class Undecided(WorkerError):
    """What a taken item ends as was decided already, or its block was left."""


class Taken:
    """What both kinds of taken items have.

    Attributes:
        id, name, queue, priority, attempt, attempts_left, started, deadline, log: as ``Item`` has
            them.
        result: what is laid over the payload once the item is successful: a model, a dataclass, a
            mapping, or None.
        state: what became of it, once its block was left: ``successful``, ``failed``, ``new``
            (it comes again), ``lost`` (another has it by now), or "" where the server has not
            answered yet: the outcome is on disk then, and is sent until it has.
    """

    def __init__(self, block: Block) -> None:
        self._block: Final = block
        self._ending: Ending | None = None
        self._over = False
        self._begun = False
        item = self._item = block.item
        self.id: str = item.id
        self.name: str = item.name
        self.queue: str = item.queue
        self.priority: int = item.priority
        self.attempt: int = item.attempt
        self.attempts_left: int | None = item.attempts_left
        self.handler: str = item.handler
        self.started: datetime = item.started
        self.deadline: datetime | None = item.deadline
        self.log: ItemLog = item.log
        self.result: Any = None
        self.state: Fate = ""
        self._before: list[tuple[Any, Token[Any]]] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, queue={self.queue!r}, attempt={self.attempt})"

    if not TYPE_CHECKING:
        wait, step, step_key = OnlyHandlers(), OnlyHandlers(), OnlyHandlers()
        sleep, sleep_until, wait_for = OnlyHandlers(), OnlyHandlers(), OnlyHandlers()

    def __del__(self) -> None:
        """Nobody has it any more."""
        if not self._over:
            self._block.end(self._ending or left_early())

    @property
    def payload(self) -> JsonObject:
        """The whole payload as popped; what is changed in it is stored with a success."""
        return self._item.payload

    @payload.setter
    def payload(self, payload: JsonObject) -> None:
        self._item.payload = payload

    def payload_as(self, kind: type[T]) -> T:
        """Return the payload as a model, dataclass or other type.

        Raises:
            BusinessError: it does not fit; the text names the fields.
        """
        try:
            read: T = form_of(kind).read(self.payload)
        except ValidationError as error:
            text = f"Payload of {self.queue} is invalid: {problems_of(error)}"
            raise BusinessError(text) from None
        return read

    @property
    def workitem(self) -> Workitem:
        """The work item as it was popped."""
        return self._item.workitem

    @property
    def created(self) -> datetime | None:
        """When it was pushed, UTC; see ``Item.created``."""
        return self._item.created

    @property
    def origin(self) -> Origin | None:
        """The item that this one is a copy of, where a chain made it."""
        return self._item.origin

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that it was pushed with."""
        return self._item.headers

    @property
    def trace(self) -> Trace | None:
        """Where in a trace it is worked."""
        return self._item.trace

    @property
    def sender(self) -> Sender | None:
        """Nobody: who takes items has a connection of its own to push over."""
        return None

    @property
    def checkpointed(self) -> Any:
        """What an earlier attempt, or this one, gave to ``checkpoint`` last; or None."""
        return self._item.checkpointed

    def checkpointed_as(self, kind: type[T]) -> T | None:
        """Return the checkpoint as a model, dataclass or other type."""
        return self._item.checkpointed_as(kind)

    @property
    def stopping(self) -> bool:
        """Whether its time is up; a long loop that blocks looks at it now and then."""
        return self._item.stopping

    @property
    def ended(self) -> bool:
        """Whether its block was left, and how it ends is out of our hands."""
        return self._over

    def done(self, result: Any = None) -> None:
        """End as successful once the block is left, whatever comes until then.

        Args:
            result: as the attribute; None leaves that.

        Raises:
            Undecided: see ``fail``.
        """
        if result is not None:
            self.result = result
        self._decide(Ending(result=self.result))

    def release(self, reason: str = "") -> None:
        """Give it back once the block is left: it is due again at once, and costs no attempt.

        Raises:
            Undecided: see ``fail``.
        """
        said = f"a program gave it back: {reason}" if reason else "a program gave it back"
        self._decide(Ending(released=said))

    def fail(self, error: BaseException | str) -> None:
        """End as if the block had raised ``error``; a text is an application error.

        Raises:
            Undecided: it was decided already; the first word counts.
            TypeError: neither an exception nor a text.
        """
        if isinstance(error, str):
            error = ApplicationError(error)
        elif not isinstance(error, BaseException):
            raise TypeError(f"fail({error!r}): allowed: an exception, or a text.")
        self._decide(Ending(error=error))

    def dead_letter(self, reason: str) -> None:
        """Fail it for good: no attempt is left to it, and its queue's ``failed_wiq`` gets a copy.

        Raises:
            Undecided: see ``fail``.
        """
        self._decide(Ending(error=BusinessError(reason)))

    def give_up_soon(self) -> None:
        """The loop that gave it was left; what becomes of it is not waited for."""
        if not self._begun and not self._over:
            self._end(self._ending or left_early())

    def _decide(self, ending: Ending) -> None:
        if self._ending is not None or self._over:
            raise Undecided(f"what becomes of item {self.id} is decided already")
        self._ending = replace(ending, at=time.monotonic())

    def _ending_of(self, error: BaseException | None) -> Ending:
        """Return how the block is left; what was decided in it counts."""
        now = time.monotonic()
        if self._ending is not None:
            return self._ending
        if error is None:
            return Ending(result=self.result, at=now)
        if not isinstance(error, Exception | SystemExit | BaseExceptionGroup):
            # Cancelled, interrupted, or stopped from around this block: none of it is the item's.
            return Ending(released=f"its program stopped ({type(error).__name__})", at=now)
        return Ending(error=error, at=now)

    def _begin(self, stop: Callable[[], object] | None = None) -> None:
        if self._begun:
            raise Undecided(f"the block of item {self.id} was begun before")
        if self._over:
            raise Undecided(f"item {self.id} is settled: the loop that gave it has gone on")
        self._begun = True
        current: CurrentItem = self
        self._before = [(current_item, current_item.set(current))]
        namespace = self._item.metadata.namespace if self._item.has_metadata else ""
        if namespace:
            self._before.append((current_namespace, current_namespace.set(namespace)))
        self._block.enter(stop)

    def _close(self) -> None:
        for variable, token in reversed(self._before):
            with suppress(ValueError):  # left in another task than it was begun in
                variable.reset(token)
        self._before.clear()

    def _end(self, ending: Ending) -> "concurrent.futures.Future[Fate]":
        self._over = True
        return self._block.end(ending)


class TakenItem(Taken, Grouping):
    """One item of a program on a loop; ``async with`` it, or leave it to the loop that gave it."""

    def __init__(self, block: Block) -> None:
        super().__init__(block)
        self._metadata = block.item.metadata if block.item.has_metadata else None
        files = FilesOverThere(block)
        self.files: Final = InputFiles(
            {
                name: InputFile(WorkitemFile(filename=name, id=file.id), files)
                for name, file in block.item.files.items()
            }
        )
        self._limit: asyncio.Timeout | None = None

    async def __aenter__(self) -> "TakenItem":
        loop = asyncio.get_running_loop()
        self._begin(lambda: loop.call_soon_threadsafe(self._strike))
        self._limit = asyncio.timeout(self._block.left)
        await self._limit.__aenter__()
        return self

    def _strike(self) -> None:
        """Stop the block now; on its loop."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> bool:
        """Settle the item; errors that are words to the worker end here."""
        self._close()
        self._block.leave()
        limit, self._limit = self._limit, None
        if limit is not None:
            try:
                await limit.__aexit__(kind, error, frames)
            except TimeoutError:
                self._item.stop()
                error = self._block.too_long().with_traceback(frames)
        await self._settled(self._ending_of(error), error)
        return isinstance(error, WORDS)

    def _group_desk(self) -> GroupDesk:
        return GroupsOverThere(self._block)

    async def settle(self) -> None:
        """The loop that gave it goes on; an item with a block of its own ends with that."""
        if not self._begun:
            await self._settled(self._ending_of(None))

    async def give_up(self) -> None:
        """The loop that gave it was left; an item with a block of its own ends with that."""
        if not self._begun:
            await self._settled(self._ending or left_early())

    async def _settled(self, ending: Ending, error: BaseException | None = None) -> None:
        if self._over:
            return
        frames = None if error is None else error.__traceback__
        future = asyncio.wrap_future(self._end(ending))
        try:
            await asyncio.wait({future}, timeout=SETTLE)
        finally:
            if error is not None:
                error.__traceback__ = frames  # without the way that it went over there
        if future.done() and not future.cancelled():
            self.state = future.result()

    async def attach(self, source: str | Path | bytes, name: str = "") -> None:
        """Declare an output file; see ``Item.attach``."""
        await over(self._block, self._item.attach(source, name))

    async def progress(self, share: float, text: str = "") -> None:
        """Show on the item how far it is; see ``Item.progress``."""
        await over(self._block, self._item.progress(share, text))

    async def checkpoint(self, state: Any, *, now: bool = False) -> None:
        """Keep how far this attempt is; see ``Item.checkpoint``."""
        await over(self._block, self._item.checkpoint(state, now=now))

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
        """Ask for a follow-up item, pushed once this one has succeeded; see ``Item.push``."""
        return await over(self._block, self._item.push(target, payload, **options))


def left_early() -> Ending:
    """Return how an item ends that nobody decided on."""
    return Ending(error=ApplicationError(LEFT_EARLY))
