"""One call of the official library on its way: its answer, its deadline, its typed error."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from worker.openiap.errors import (
    AccessDenied,
    Disconnected,
    ItemNotFound,
    NotConnected,
    OpenIAPError,
    QueueNotFound,
    RequestTimeout,
    error_from_text,
)
from worker.openiap.official.functions import NativeFunction
from worker.openiap.official.library import EventRoute
from worker.openiap.official.library_client import LibraryClient, Refused


class PendingCall:
    """Hands the answer to the loop, or to ``late`` when nobody waits any more.

    Args:
        owner: the client of the library whose call it is.
        late: told of a value that comes when nobody waits for it any more.
    """

    __slots__ = ("_arguments", "_late", "_loop", "_owner", "epoch", "future", "handle")

    def __init__(self, owner: LibraryClient, late: Callable[[Any], None] | None = None) -> None:
        self.handle = owner.handle
        self.epoch = owner.epoch
        self._owner = owner
        self._late = late
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()

    def start(
        self,
        function: NativeFunction,
        *arguments: Any,
        tail: tuple[Any, ...] = (),
        events: EventRoute | None = None,
    ) -> None:
        """Make the call; see ``Library.start``."""
        # Kept for as long as the library may look at them.
        self._arguments = arguments
        self._owner.library.start(function, self, *arguments, tail=tail, events=events)

    async def answer(self, operation: str, seconds: float, item_id: str = "") -> Any:
        """Wait for the answer until the deadline.

        Raises:
            OpenIAPError: what was refused, typed; ``RequestTimeout`` after so many seconds.
        """
        owner = self._owner
        owner.in_flight.add(self)
        # Cheaper than a timeout of the task.
        deadline = self._loop.call_later(seconds, self.fail, Expired())
        try:
            return await self.future
        except asyncio.CancelledError:
            self._salvage()
            raise
        except Expired:
            raise RequestTimeout(
                f"no answer within {seconds:g} s", operation=operation, item_id=item_id
            ) from None
        except Refused as refused:
            raise typed_error(owner, self.epoch, refused, operation, item_id) from None
        except Disconnected as error:
            raise Disconnected(error.text, operation=operation, item_id=item_id) from None
        finally:
            deadline.cancel()
            owner.in_flight.discard(self)

    def answered(self, value: Any) -> None:
        """Take the answer, on the library's thread."""
        self._owner.last_heard = time.monotonic()
        self._soon(self._settle, value)

    def refused(self, text: str) -> None:
        """Take the refusal, on the library's thread."""
        self._soon(self.fail, Refused(text))

    def fail(self, error: Exception) -> None:
        """End the wait with an error, on the loop."""
        if not self.future.done():
            self.future.set_exception(error)

    def _salvage(self) -> None:
        """Tell ``late`` of a value that came just as the caller was cancelled."""
        future = self.future
        if future.done() and not future.cancelled() and future.exception() is None:
            self._settle(future.result())

    def _settle(self, value: Any) -> None:
        if not self.future.done():
            self.future.set_result(value)
        elif self._late is not None:
            self._late(value)

    def _soon(self, function: Callable[[Any], None], value: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, value)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            return


class Expired(Exception):
    """The deadline has passed, and nothing came."""


def typed_error(
    owner: LibraryClient, epoch: int, refused: Refused, operation: str, item_id: str = ""
) -> OpenIAPError:
    """Return the error for what the library said.

    Args:
        epoch: that of the connection when the call was made.
    """
    error = error_from_text(refused.text, operation=operation, item_id=item_id)
    if isinstance(error, NotConnected | Disconnected | RequestTimeout):
        return error
    if isinstance(error, AccessDenied | QueueNotFound | ItemNotFound) and epoch != owner.epoch:
        # Asked across a reconnect: the library was a guest again, who is told no such thing
        # exists. The call was refused, so it was not executed.
        return NotConnected(
            f"asked while signing in again: {error.text}", operation=operation, item_id=item_id
        )
    owner.last_heard = time.monotonic()
    return error
