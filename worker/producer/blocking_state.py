"""Shared state for code that blocks: what ``State`` has, by its names, waited for."""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar

from worker.durations import Duration
from worker.producer.blocking_client import off_the_loop
from worker.producer.topics import TopicSubscription
from worker.state.events import StreamEvent
from worker.state.lock import Held, Lock
from worker.state.state import State
from worker.state.stream import KEEP_FOR, History, Stream
from worker.state.subscription import Callback, OnError, Subscription
from worker.state.values import Keys, Value

T = TypeVar("T")


class Loop(Protocol):
    """The connection, which has a loop on a thread of its own."""

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it."""


class BlockingValues:
    """Values by key; see ``worker.state.values.Values``."""

    def __init__(self, loop: Loop, state: Callable[[], State]) -> None:
        self._loop = loop
        self._state = state

    def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: Duration | timedelta | None = None,
        nx: bool = False,
        xx: bool = False,
    ) -> bool:
        """Set a value; returns whether it was set."""
        return self._loop.wait(self._state().values.set(key, value, ttl=ttl, nx=nx, xx=xx))

    def get(self, key: str) -> Value:
        """Return what is set."""
        return self._loop.wait(self._state().values.get(key))

    def delete(self, *keys: str) -> int:
        """Forget values; returns how many there were."""
        return self._loop.wait(self._state().values.delete(*keys))

    def incr(self, key: str, amount: int = 1) -> int:
        """Add to a whole number, exactly once, and return what came of it."""
        return self._loop.wait(self._state().values.incr(key, amount))

    def decr(self, key: str, amount: int = 1) -> int:
        """Subtract from a whole number; see ``incr``."""
        return self._loop.wait(self._state().values.decr(key, amount))

    def scan(self, prefix: str = "", cursor: str = "", count: int = 100) -> Keys:
        """Return the keys that begin with ``prefix``, page by page."""
        return self._loop.wait(self._state().values.scan(prefix, cursor, count))


class BlockingCounter:
    """A counter; see ``worker.state.counter.Counter``."""

    def __init__(self, loop: Loop, state: Callable[[], State], name: str) -> None:
        self._loop = loop
        self._counter = state().counter(name)
        self.name: Final = name

    def add(self, number: int = 1) -> int:
        """Add a number, exactly once, and return the value that came of it."""
        return self._loop.wait(self._counter.add(number))

    def value(self) -> int:
        """Return the present value."""
        return self._loop.wait(self._counter.value())


class BlockingSubscription:
    """A subscription; see ``worker.state.subscription.Subscription``."""

    def __init__(self, loop: Loop, subscription: Subscription) -> None:
        self._loop = loop
        self._subscription = subscription
        self.room: Final = subscription.room

    @property
    def offset(self) -> int:
        """The offset of the last event that was handed over."""
        return self._subscription.offset

    @property
    def missed(self) -> int:
        """How many events were not there any more when their turn came."""
        return self._subscription.missed

    def unsubscribe(self) -> None:
        """End it; a callback that runs is waited for, unless it is this very one that calls."""
        self._loop.wait(self._subscription.unsubscribe())


class BlockingStream:
    """A room; see ``worker.state.stream.Stream``."""

    def __init__(self, loop: Loop, stream: Stream) -> None:
        self._loop = loop
        self._stream = stream
        self.room: Final = stream.room

    def publish(
        self, type: str, data: Any = None, metadata: Mapping[str, Any] | None = None
    ) -> StreamEvent:
        """Publish an event, exactly once, and return it."""
        return self._loop.wait(self._stream.publish(type, data, metadata))

    def history(
        self, from_offset: int = -50, to_offset: int | None = None, limit: int = 100
    ) -> History:
        """Return events in order, and what is kept."""
        return self._loop.wait(self._stream.history(from_offset, to_offset, limit))

    def subscribe(
        self,
        callback: Callback,
        from_offset: int = -50,
        replay: bool = True,
        *,
        on_error: OnError | None = None,
    ) -> BlockingSubscription:
        """Call ``callback`` with each event, in order. A plain one runs on a thread of its own and
        may block and use this connection."""
        told = off_the_loop(callback)
        work = self._stream.subscribe(told, from_offset, replay, on_error=on_error)
        return BlockingSubscription(self._loop, self._loop.wait(work))


class BlockingLock(AbstractContextManager[Held]):
    """A lock to hold by ``with``; see ``worker.state.lock.Lock``."""

    def __init__(self, loop: Loop, lock: Lock) -> None:
        self._loop = loop
        self._lock = lock

    def __enter__(self) -> Held:
        return self._loop.wait(self._lock.acquire())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self._loop.wait(self._lock.release())


class BlockingTopicSubscription:
    """What a callback listens to; see ``worker.producer.topics.TopicSubscription``."""

    def __init__(self, loop: Loop, subscription: TopicSubscription) -> None:
        self._loop = loop
        self._subscription = subscription
        self.patterns: Final = subscription.patterns

    def unsubscribe(self) -> None:
        """End it; idempotent."""
        self._loop.wait(self._subscription.unsubscribe())


class BlockingState:
    """Everything of ``worker.State``, for code that blocks.

    Args:
        loop: runs what is called.
        state: returns the state that is used.
    """

    def __init__(self, loop: Loop, state: Callable[[], State]) -> None:
        self._loop = loop
        self._state = state
        self.values: Final = BlockingValues(loop, state)

    def lock(
        self, name: str, lease: Duration = "30s", *, wait: Duration | timedelta | None = None
    ) -> BlockingLock:
        """Return a lock to hold with ``with``; of all processes at most one does."""
        return BlockingLock(self._loop, self._state().lock(name, lease, wait=wait))

    def counter(self, name: str) -> BlockingCounter:
        """Return a counter; ``state.counter("vouchers").add()`` is the next number."""
        return BlockingCounter(self._loop, self._state, name)

    def stream(
        self,
        room: str,
        *,
        keep_count: int | None = None,
        keep_for: Duration | timedelta | None = KEEP_FOR,
    ) -> BlockingStream:
        """Return a room to publish events to and to follow."""
        stream = self._state().stream(room, keep_count=keep_count, keep_for=keep_for)
        return BlockingStream(self._loop, stream)

    def once(self, key: str, keep: Duration | timedelta | None = None) -> bool:
        """Return True for exactly one caller of all that ever ask with this key."""
        return self._loop.wait(self._state().once(key, keep))
