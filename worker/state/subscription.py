"""A subscription: the events of a room, handed to a callback one after the other.

1. What counts is the next offset. An event that a watch brings is handed over if it is that one;
   anything else that a watch says is a hint to read on from there.
2. It reads as well after each sign-in and every ``POLL`` seconds, so neither a cut nor a server
   without watches loses anything.
3. An offset that is not there although a later one is was taken away by somebody: it is looked for
   once more after ``HOLE`` seconds, and then left out and counted.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from worker.openiap.client import Client
from worker.openiap.errors import NotConnected, OpenIAPError, ServerError, Unsupported
from worker.openiap.types import ClientEvent, WatchEvent
from worker.openiap.workitem import JsonObject
from worker.state.events import COLLECTION, Room, StreamEvent

POLL: Final = 5.0
HOLE: Final = 1.0
AGAIN: Final = 2.0
"""Seconds until events that could not be read are asked for again."""
MOST_AHEAD: Final = 1000

Callback = Callable[[StreamEvent], Any]
OnError = Callable[[StreamEvent | None, Exception], Any]


class Subscription:
    """One callback on one room.

    Attributes:
        room: its name.
        offset: of the last event that was handed over; where to go on is one more.
        missed: how many events were not there any more when their turn came.
    """

    def __init__(
        self,
        client: Client,
        room: Room,
        first: int,
        callback: Callback,
        on_error: OnError | None,
        *,
        read: Callable[[int], Awaitable[tuple[list[tuple[int, JsonObject]], bool]]],
    ) -> None:
        self.room: Final = room.name
        self.missed = 0
        self._room = room
        self._client = client
        self._callback = callback
        self._on_error = on_error
        self._read = read
        self._next = self._first = first
        self._ahead: dict[int, StreamEvent] = {}
        self._wake = asyncio.Event()
        self._look = True
        self._telling = False
        self._ended = False
        self._task: asyncio.Task[None] | None = None
        self._watch = ""
        self._watched_on: int | None = None
        self._listening = ""

    @property
    def offset(self) -> int:
        """The offset of the last event that was handed over; one before the first at the start."""
        return self._next - 1

    async def start(self) -> None:
        """Begin.

        Raises:
            OpenIAPError: the server may not be asked, or does not answer.
        """
        await self._watched()
        self._listening = self._client.on_client_event(self._connected)
        self._task = asyncio.create_task(self._run(), name=f"stream {self.room}")

    async def unsubscribe(self) -> None:
        """End it; nothing is handed over afterwards. A callback that runs is waited for."""
        if self._ended:
            return
        self._ended = True
        self._client.off_client_event(self._listening)
        task = self._task
        if task is not None and task is not asyncio.current_task():
            if self._telling:
                self._wake.set()
            else:
                task.cancel()
            await asyncio.wait({task})
        if self._watch:
            with suppress(OpenIAPError):  # it went with its link
                await self._client.unwatch(self._watch)

    async def _watched(self) -> None:
        self._watched_on = self._sign_ins()
        path = f"$[?(@.key == '{self._room.key}')]"
        try:
            self._watch = await self._client.watch(COLLECTION, [path], self._changed)
        except (ServerError, Unsupported):
            self._watch = ""  # a server without change streams: what comes is found by looking

    def _sign_ins(self) -> int | None:
        try:
            return self._client.sign_ins
        except NotConnected:
            return None

    def _changed(self, change: WatchEvent) -> None:
        """Take what a watch brings."""
        offset = self._room.offset(change.document)
        if offset is None or offset < self._next or change.operation == "delete":
            return
        event = self._room.event(change.document)
        if event is not None and change.operation == "insert" and len(self._ahead) < MOST_AHEAD:
            self._ahead[offset] = event
        else:
            self._look = True
        self._wake.set()

    def _connected(self, event: ClientEvent) -> None:
        if event.event == "SignedIn":
            self._look = True
            self._wake.set()

    async def _run(self) -> None:
        while not self._ended:
            try:
                await self._round()
            except OpenIAPError as error:
                self._report(None, error)
                self._look = True
                await asyncio.sleep(AGAIN)

    async def _round(self) -> None:
        try:
            async with asyncio.timeout(0 if self._look else POLL):
                await self._wake.wait()
        except TimeoutError:
            self._look = True
        self._wake.clear()
        if self._watched_on != self._sign_ins():
            # A client that keeps registrations returns the one that is there.
            await self._watched()
        await self._from_watch()
        if self._ahead:
            self._look = True  # there is a gap before what came
        while self._look and not self._ended:
            self._look = False
            await self._from_server()
            await self._from_watch()

    async def _from_watch(self) -> None:
        while not self._ended and (event := self._ahead.pop(self._next, None)) is not None:
            await self._tell(event)
        for offset in [one for one in self._ahead if one < self._next]:
            del self._ahead[offset]

    async def _from_server(self) -> None:
        page, more = await self._read(self._next)
        self._look = self._look or more
        for offset, document in page:
            if offset > self._next:
                if self._next != self._first:
                    await asyncio.sleep(HOLE)
                    again, _ = await self._read(self._next)
                    if again and again[0][0] == self._next:
                        self._look = True
                        return
                self.missed += offset - self._next
                self._next = offset
            event = self._room.event(document)
            if event is None:
                self.missed += 1
                self._next = offset + 1
                continue
            await self._tell(event)
            if self._ended:
                return

    async def _tell(self, event: StreamEvent) -> None:
        self._next = event.offset + 1
        self._telling = True
        try:
            result = self._callback(event)
            if inspect.isawaitable(result):
                await result
        except Exception as error:  # whatever a callback raises costs its own event alone
            self._report(event, error)
        finally:
            self._telling = False

    def _report(self, event: StreamEvent | None, error: Exception) -> None:
        if self._on_error is not None:
            try:
                self._on_error(event, error)
                return
            except Exception as another:  # it must not end the subscription
                error = another
        what = "cannot be read" if event is None else f"callback failed for event {event.offset}"
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"stream {self.room!r}: {what}", "exception": error}
        )
