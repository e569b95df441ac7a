"""The blocking client: pushes and results for scripts, notebooks, and views of Django or Flask.

A thread of its own holds the connection and an event loop, so it works where a loop runs already
(a notebook) and where none does. It may be used from several threads. After a ``fork`` the child
makes its own.

    from worker import sync

    with sync.connect() as openiap:
        pushed = openiap.push(book_invoice, Invoice(number="4711", amount=12), priority=1)
        booking = pushed.result(timeout="1m")
        paid = openiap.client.count("invoices", {"paid": True})
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack, overload

from worker.durations import Duration
from worker.errors import WorkerError
from worker.item.function_types import AsyncFieldFirst, AsyncPayloadFirst, FieldFirst, PayloadFirst
from worker.item.item import AsyncItemFirst, AsyncItemOnly, ItemFirst, ItemOnly
from worker.item.push import Fields, PushArguments, PushManyArguments, Target, pushes_to
from worker.openiap.batch import AT_ONCE, batch
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.workitem import JsonObject
from worker.producer.blocking_client import BlockingClient, off_the_loop
from worker.producer.blocking_pushed import BlockingPushed
from worker.producer.blocking_state import BlockingState, BlockingTopicSubscription
from worker.producer.blocking_taking import BlockingItems, BlockingTaking
from worker.producer.blocking_wait import waited_for
from worker.producer.connect import connect as connect_async
from worker.producer.groups.blocking import BlockingGroups
from worker.producer.producer import Checks, Producer, whole
from worker.producer.pushed import Pushed, pushed_before
from worker.producer.taking import TIMEOUT, UNTIL_EMPTY, WAIT, Pulls, wanted
from worker.producer.topics import Message
from worker.settings import Settings
from worker.state.current import CurrentState, current_state
from worker.state.state import State

M = TypeVar("M")
T = TypeVar("T")


NOT_CONNECTED: Final = "not connected: use `with sync.connect() as openiap:`"


class Closed(WorkerError):
    """The blocking client is not connected, or no more."""


class OpenIAP(BlockingGroups):
    """A connection used by blocking code; ``with`` it, or ``open`` and ``close`` it.

    Args:
        settings, contracts, values: as for ``worker.connect``.
        pulling: makes what takes items; without it nothing can be taken.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        contracts: Checks | None = None,
        pulling: Callable[[Settings], Pulls] | None = None,
        **values: Any,
    ) -> None:
        self._settings = settings
        self._contracts = contracts
        self._pulling = pulling
        self._values = values
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._producer: Producer | None = None
        self._closing: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self.client: Final = BlockingClient(self, self.present_client)
        """Every call that OpenIAP documents, waited for."""
        self.state: Final = BlockingState(self, self.present_state)
        """What is shared with the fleet: values, streams, locks, counters; each call waits."""
        self._before: Token[CurrentState | None] | None = None

    def __enter__(self) -> Self:
        self.open()
        self._before = current_state.set(CurrentState(self.present_state(), self.wait))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        before, self._before = self._before, None
        if before is not None:
            current_state.reset(before)
        self.close()

    def open(self) -> None:
        """Sign in; nothing happens when that is done already.

        Raises:
            SettingsError: no URL, no credentials, or an unknown setting.
            AccessDenied: the server refuses the credentials.
        """
        with self._mutex:
            if self._thread is not None:
                return
            started = threading.Event()
            self._failure = None
            thread = threading.Thread(
                target=self._serve, args=(started,), name="openiap sync", daemon=True
            )
            thread.start()
            started.wait()
            if self._failure is not None:
                thread.join()
                raise self._failure
            self._thread = thread

    def close(self) -> None:
        """Close the link; idempotent."""
        with self._mutex:
            thread, self._thread = self._thread, None
            if thread is None or self._loop is None or self._closing is None:
                return
            self._loop.call_soon_threadsafe(self._closing.set)
            thread.join()

    def _serve(self, started: threading.Event) -> None:
        try:
            asyncio.run(self._live(started))
        except BaseException as error:  # whatever it is: open() raises it where it was called
            self._failure = error
        finally:
            self._producer = None
            started.set()

    async def _live(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        async with connect_async(
            self._settings, contracts=self._contracts, pulling=self._pulling, **self._values
        ) as producer:
            self._producer = producer
            started.set()
            await self._closing.wait()

    def present_client(self) -> Client:
        """Return the client on the connection's own loop; what it is asked runs by ``wait``.

        Raises:
            Closed: not connected.
        """
        return self._present().client

    def present_state(self) -> State:
        """Return the state on the connection's own loop; what it is asked runs by ``wait``.

        Raises:
            Closed: not connected.
        """
        return self._present().state

    def publish(self, topic: str, message: Any, metadata: Mapping[str, Any] | None = None) -> str:
        """Send a message to all that listen to a topic now; returns its id."""
        return self.wait(self._present().publish(topic, message, metadata))

    def subscribe(
        self, topics: Sequence[str], callback: Callable[[Message], Any]
    ) -> BlockingTopicSubscription:
        """Call ``callback``, on a thread of its own, with each message that fits one of the
        patterns."""
        work = self._present().subscribe(topics, off_the_loop(callback))
        return BlockingTopicSubscription(self, self.wait(work))

    def take(
        self, queue: str, *, wait: Duration | None = WAIT, timeout: Duration | None = TIMEOUT
    ) -> BlockingTaking:
        """Take one item of a queue: ``with openiap.take("invoices") as item:``; see
        ``Producer.take``. Past its time the block is stopped in its thread, at the next instruction
        of Python's there."""
        return BlockingTaking(self._present().pulls, wanted(queue, wait, timeout))

    def items(
        self, queue: str, *, wait: Duration | None = UNTIL_EMPTY, timeout: Duration | None = TIMEOUT
    ) -> BlockingItems:
        """Take items one after another: ``for item in openiap.items("invoices"):``; see
        ``Producer.items``."""
        return BlockingItems(self._present().pulls, wanted(queue, wait, timeout))

    def batch(
        self, calls: Iterable[Callable[[Client], Awaitable[T]]], *, at_once: int = AT_ONCE
    ) -> list[T | OpenIAPError]:
        """Make many calls at once over this connection; results in order, errors in their place::

        openiap.batch([lambda c, n=n: c.query("invoices", {"number": n}) for n in numbers])
        """
        client = self.present_client()
        return self.wait(batch((call(client) for call in calls), at_once=at_once))

    def _present(self) -> Producer:
        if self._producer is None:
            raise Closed(NOT_CONNECTED)
        return self._producer

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the connection's own loop and wait for it.

        Raises:
            Closed: not connected.
            WorkerError: called on that loop itself, which would wait for itself for ever.
            Exception: whatever the coroutine raises.
        """
        loop, producer = self._loop, self._producer
        if loop is None or producer is None:
            work.close()
            raise Closed(NOT_CONNECTED)
        if asyncio._get_running_loop() is loop:
            work.close()
            raise WorkerError("the blocking client is used in an async callback; make it a def")
        return waited_for(asyncio.run_coroutine_threadsafe(work, loop))

    @overload
    def push(
        self, target: str, payload: Fields, **options: Unpack[PushArguments]
    ) -> BlockingPushed[JsonObject]: ...

    @overload
    def push(
        self, target: Target[AsyncItemOnly[T]], payload: Fields, **options: Unpack[PushArguments]
    ) -> BlockingPushed[T]: ...

    @overload
    def push(
        self, target: Target[ItemOnly[T]], payload: Fields, **options: Unpack[PushArguments]
    ) -> BlockingPushed[T]: ...

    @overload
    def push(
        self, target: Target[AsyncItemFirst[M, T]], payload: M, **options: Unpack[PushArguments]
    ) -> BlockingPushed[T]: ...

    @overload
    def push(
        self, target: Target[ItemFirst[M, T]], payload: M, **options: Unpack[PushArguments]
    ) -> BlockingPushed[T]: ...

    @overload
    def push(
        self,
        target: Target[AsyncFieldFirst[T]],
        payload: Fields,
        **options: Unpack[PushArguments],
    ) -> BlockingPushed[T]: ...

    @overload
    def push(
        self, target: Target[FieldFirst[T]], payload: Fields, **options: Unpack[PushArguments]
    ) -> BlockingPushed[T]: ...

    @overload
    def push(
        self, target: Target[AsyncPayloadFirst[M, T]], payload: M, **options: Unpack[PushArguments]
    ) -> BlockingPushed[T]: ...

    @overload
    def push(
        self, target: Target[PayloadFirst[M, T]], payload: M, **options: Unpack[PushArguments]
    ) -> BlockingPushed[T]: ...

    def push(
        self, target: Any, payload: Any, **options: Unpack[PushArguments]
    ) -> BlockingPushed[Any]:
        """Push an item to a handler's queue, or to a queue by name.

        Raises:
            ContractError: the payload does not fit the handler.
            QueueNotFound: no such queue, or no rights.
        """
        (pushed,) = self._send(target, [payload], options)
        found: BlockingPushed[Any] = pushed
        return found

    @overload
    def push_many(
        self, target: str, payloads: Sequence[Fields], **options: Unpack[PushManyArguments]
    ) -> list[BlockingPushed[JsonObject]]: ...

    @overload
    def push_many(
        self,
        target: Target[AsyncItemOnly[T]],
        payloads: Sequence[Fields],
        **options: Unpack[PushManyArguments],
    ) -> list[BlockingPushed[T]]: ...

    @overload
    def push_many(
        self,
        target: Target[ItemOnly[T]],
        payloads: Sequence[Fields],
        **options: Unpack[PushManyArguments],
    ) -> list[BlockingPushed[T]]: ...

    @overload
    def push_many(
        self,
        target: Target[AsyncItemFirst[M, T]],
        payloads: Sequence[M],
        **options: Unpack[PushManyArguments],
    ) -> list[BlockingPushed[T]]: ...

    @overload
    def push_many(
        self,
        target: Target[ItemFirst[M, T]],
        payloads: Sequence[M],
        **options: Unpack[PushManyArguments],
    ) -> list[BlockingPushed[T]]: ...

    @overload
    def push_many(
        self,
        target: Target[AsyncFieldFirst[T]],
        payloads: Sequence[Fields],
        **options: Unpack[PushManyArguments],
    ) -> list[BlockingPushed[T]]: ...

    @overload
    def push_many(
        self,
        target: Target[FieldFirst[T]],
        payloads: Sequence[Fields],
        **options: Unpack[PushManyArguments],
    ) -> list[BlockingPushed[T]]: ...

    @overload
    def push_many(
        self,
        target: Target[AsyncPayloadFirst[M, T]],
        payloads: Sequence[M],
        **options: Unpack[PushManyArguments],
    ) -> list[BlockingPushed[T]]: ...

    @overload
    def push_many(
        self,
        target: Target[PayloadFirst[M, T]],
        payloads: Sequence[M],
        **options: Unpack[PushManyArguments],
    ) -> list[BlockingPushed[T]]: ...

    def push_many(
        self, target: Any, payloads: Any, **options: Unpack[PushManyArguments]
    ) -> list[BlockingPushed[Any]]:
        """Push many items; in few messages where the client can.

        Raises:
            ContractError: one payload does not fit; nothing was pushed.
        """
        found: list[BlockingPushed[Any]] = self._send(target, payloads, options)
        return found

    def signal(self, item_id: str, name: str, value: Any = None, *, key: str = "") -> str:
        """Tell an item something that it waits for; see ``Pushed.signal``."""
        return self.pushed(item_id).signal(name, value, key=key)

    def pushed(self, id: str, of: Target[Any] | str = "") -> BlockingPushed[Any]:
        """Return a handle on an item that was pushed before, by its id.

        Args:
            of: its handler, whose result ``result`` returns, or its queue's name.

        Raises:
            TypeError: the id is no text, or ``of`` neither.
        """
        if isinstance(of, str):
            return BlockingPushed(self._present().pushed(id, of), self)
        if not isinstance(of, Target):
            raise TypeError(f"pushed: of = {of!r}; allowed: a handler, or a queue's name")
        found = Pushed(pushed_before(id), "", self._present().sender, of.reader())
        return BlockingPushed(found, self)

    def _send(self, target: str | Target[Any], payloads: Sequence[Any], options: Any) -> Any:
        producer = self._producer
        if producer is None:
            raise Closed(NOT_CONNECTED)
        pushes = pushes_to(target, payloads, options)
        read = whole if isinstance(target, str) else target.reader()
        return [BlockingPushed(one, self) for one in self.wait(producer.send(pushes, read))]
