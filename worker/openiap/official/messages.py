"""Message queues, exchanges and watches through the official library; lost with the link.

The library's own ``rpc`` runs one call at a time and takes whatever reply comes next for its own;
so each connection has one queue for replies, which are told apart by their correlation id.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from ctypes import byref
from typing import Any, Final

from worker.openiap.callbacks import Callbacks
from worker.openiap.errors import Unsupported
from worker.openiap.official import abi as abi
from worker.openiap.official import functions as functions
from worker.openiap.official.items import native_text
from worker.openiap.official.library_client import LibraryClient
from worker.openiap.official.link import Link
from worker.openiap.official.pending_call import PendingCall
from worker.openiap.official.subscriptions import Subscriptions
from worker.openiap.replies import Replies
from worker.openiap.types import QueueEvent, ToldChange, ToldMessage, WatchEvent
from worker.openiap.values import from_message, message_data

EVERYTHING: Final = "$"
"""The path that every document fits. The library sends an empty one for none, and OpenIAP tells
such a watch nothing."""


class Messages:
    """Registers what one client wants to be told; a ``MessageBackend``."""

    def __init__(
        self, link: Link, subscriptions: Subscriptions, callbacks: Callbacks, replies: Replies
    ) -> None:
        self._link = link
        self._subscriptions = subscriptions
        self._callbacks = callbacks
        self._replies = replies

    async def register_queue(self, queue_name: str, callback: ToldMessage, seconds: float) -> str:
        """Receive what is sent to a message queue; returns its name."""

        def register(client: LibraryClient, number: int) -> Any:
            request = abi.RegisterQueueRequest(queuename=native_text(queue_name), request_id=number)
            return client.library.plain(
                "register_queue_async", client.handle, byref(request), client.library.queue_event
            )

        return await self._register("register_queue", register, callback, seconds)

    async def register_exchange(
        self,
        exchange_name: str,
        callback: ToldMessage | None,
        algorithm: str,
        routingkey: str,
        addqueue: bool,
        seconds: float,
    ) -> str:
        """Receive what is sent to an exchange; returns the name of its queue."""

        def register(client: LibraryClient, number: int) -> Any:
            request = abi.RegisterExchangeRequest(
                exchangename=native_text(exchange_name),
                algorithm=native_text(algorithm),
                routingkey=native_text(routingkey),
                addqueue=addqueue,
                request_id=number,
            )
            return client.library.plain(
                "register_exchange_async",
                client.handle,
                byref(request),
                client.library.exchange_event,
            )

        return await self._register("register_exchange", register, callback, seconds)

    async def _register(
        self,
        operation: str,
        register: Callable[[LibraryClient, int], Any],
        callback: ToldMessage | None,
        seconds: float,
    ) -> str:
        library = self._link.signed_in(operation).library
        loop = asyncio.get_running_loop()
        number = library.next_id()

        def received(fields: Sequence[str]) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._received, callback, fields)

        def call(client: LibraryClient) -> str:
            answer = register(client, number)
            name: str = (answer[0].value or b"").decode("utf-8", "replace")
            client.release(answer, f"free_{operation}_response")
            return name

        library.listen(number, received)
        try:
            name = await self._link.blocking(call, operation, seconds)
        except BaseException:
            library.unlisten(number)
            raise
        self._subscriptions.add_queue(name, number, library)
        return name

    def _received(self, callback: ToldMessage | None, fields: Sequence[str]) -> None:
        queuename, correlation_id, replyto, routingkey, exchangename, data = fields
        event = QueueEvent(
            queuename, correlation_id, replyto, routingkey, exchangename, message_data(data)
        )
        if callback is not None:
            self._callbacks.run(f"message on {queuename}", callback, event)

    async def unregister_queue(self, queue_name: str, seconds: float) -> None:
        """Stop receiving."""

        def unregister(client: LibraryClient) -> None:
            name = native_text(queue_name)
            answer = client.library.plain("unregister_queue", client.handle, name)
            client.release(answer, "free_unregister_queue_response")

        await self._link.blocking(unregister, "unregister_queue", seconds)
        self._subscriptions.remove_queue(queue_name)

    async def register_replies(self, seconds: float) -> str:
        """Register the queue for replies."""
        return await self.register_queue("", self._replied, seconds)

    def _replied(self, event: QueueEvent) -> None:
        self._replies.take(event.correlation_id, event.data)

    async def watch(
        self,
        collectionname: str,
        paths: list[str],
        callback: ToldChange | None,
        seconds: float,
    ) -> str:
        """Be told of changes in a collection; returns the watch's id.

        Raises:
            Unsupported: a path with a comma, which the library takes for two.
        """
        paths = paths or [EVERYTHING]
        if any("," in path for path in paths):
            raise Unsupported("the official library splits paths at commas", operation="watch")
        client = self._link.signed_in("watch")
        library = client.library
        loop = asyncio.get_running_loop()

        def changed(fields: Sequence[str]) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._changed, callback, fields)

        request = abi.WatchRequest(
            collectionname=native_text(collectionname), paths=native_text(",".join(paths))
        )
        call = PendingCall(client)
        try:
            call.start(functions.WATCH, request, tail=(library.watch_event,), events=changed)
            watchid: str = await call.answer("watch", seconds)
        except BaseException:
            library.unlisten(request.request_id)
            raise
        self._subscriptions.add_watch(watchid, request.request_id, library)
        return watchid

    def _changed(self, callback: ToldChange | None, fields: Sequence[str]) -> None:
        id, operation, document = fields
        found = from_message(document)
        event = WatchEvent(id, operation, found if isinstance(found, dict) else {})
        if callback is not None:
            self._callbacks.run(f"watch {id}", callback, event)

    async def unwatch(self, watchid: str, seconds: float) -> None:
        """End a watch."""
        call = PendingCall(self._link.signed_in("unwatch"))
        call.start(functions.UNWATCH, native_text(watchid))
        await call.answer("unwatch", seconds)
        self._subscriptions.remove_watch(watchid)
