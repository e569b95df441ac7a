"""Message queues, exchanges, watches and commands through the official library.

The library's own ``rpc`` runs one call at a time and takes whatever reply comes next for its own;
here each connection has one reply queue, and replies are told apart by their correlation id.
"""

import asyncio
import contextlib
import inspect
import time
from collections.abc import Callable, Sequence
from ctypes import byref
from typing import Any, Final, Literal
from uuid import uuid4

from worker.openiap.errors import Disconnected, RequestTimeout, Unsupported
from worker.openiap.official import abi as abi
from worker.openiap.official import functions as functions
from worker.openiap.official.items import native_text
from worker.openiap.official.library import Library
from worker.openiap.official.link import Link, Refused
from worker.openiap.official.workitems import OfficialWorkitems
from worker.openiap.types import Payload, QueueCallback, QueueEvent, WatchCallback, WatchEvent
from worker.openiap.values import argument_text, from_message

# Seconds; a negative number leaves the library's own, which is longer than any deadline here.
LIBRARY_DEFAULT: Final = -1


class OfficialMessages(OfficialWorkitems):
    """The documented calls on messages; see ``worker.openiap.client.Client``."""

    _reply_queue: str = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._queues: dict[str, int] = {}
        self._watches: dict[str, int] = {}
        self._listening: dict[int, Library] = {}
        self._replies: dict[str, asyncio.Future[Any]] = {}
        self._reply_lock = asyncio.Lock()

    async def register_queue(
        self, queue_name: str, callback: QueueCallback, *, timeout: float | None = None
    ) -> str:
        """Receive what is sent to a message queue; returns its name ("" makes one up).

        A result of the callback other than None is sent back to the message's ``replyto``. Lost
        with the link: register again after every sign-in.
        """

        def register(link: Link, number: int) -> Any:
            request = abi.RegisterQueueRequest(queuename=native_text(queue_name), request_id=number)
            return link.library.plain(
                "register_queue_async", link.client, byref(request), link.library.queue_event
            )

        return await self._register(
            "register_queue", "free_register_queue_response", register, callback, timeout
        )

    async def register_exchange(
        self,
        exchange_name: str,
        callback: QueueCallback | None = None,
        *,
        algorithm: Literal["direct", "fanout", "topic", "header"] = "fanout",
        routingkey: str = "",
        addqueue: bool = True,
        timeout: float | None = None,
    ) -> str:
        """Receive what is sent to an exchange; returns the name of the queue made for it."""

        def register(link: Link, number: int) -> Any:
            request = abi.RegisterExchangeRequest(
                exchangename=native_text(exchange_name),
                algorithm=native_text(algorithm),
                routingkey=native_text(routingkey),
                addqueue=addqueue,
                request_id=number,
            )
            return link.library.plain(
                "register_exchange_async", link.client, byref(request), link.library.exchange_event
            )

        return await self._register(
            "register_exchange", "free_register_exchange_response", register, callback, timeout
        )

    async def unregister_queue(self, queue_name: str, *, timeout: float | None = None) -> None:
        """Stop receiving."""

        def unregister(link: Link) -> None:
            answer = link.library.plain("unregister_queue", link.client, native_text(queue_name))
            _raise_refusal(link, answer, "free_unregister_queue_response")

        await self._blocking(unregister, operation="unregister_queue", timeout=timeout)
        self._unlisten(self._queues.pop(queue_name, 0))

    async def queue_message(
        self,
        data: Payload,
        queue_name: str = "",
        *,
        exchange_name: str = "",
        routingkey: str = "",
        replyto: str = "",
        correlation_id: str = "",
        striptoken: bool = False,
        expiration: int = 0,
        timeout: float | None = None,
    ) -> None:
        """Send a message to a queue or an exchange; ``expiration`` in milliseconds."""
        request = abi.QueueMessageRequest(
            queuename=native_text(queue_name),
            correlation_id=native_text(correlation_id),
            replyto=native_text(replyto),
            routingkey=native_text(routingkey),
            exchangename=native_text(exchange_name),
            data=native_text(argument_text(data)),
            striptoken=striptoken,
            expiration=expiration,
        )

        def send(link: Link) -> None:
            answer = link.library.plain("queue_message", link.client, byref(request))
            _raise_refusal(link, answer, "free_queue_message_response")

        await self._blocking(send, operation="queue_message", timeout=timeout)

    async def rpc(
        self,
        data: Payload,
        queue_name: str = "",
        *,
        exchange_name: str = "",
        routingkey: str = "",
        striptoken: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Send a message and wait for its answer.

        Raises:
            RequestTimeout: nobody answered in time.
        """
        seconds = self._seconds(timeout)
        correlation_id = uuid4().hex
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies[correlation_id] = reply
        try:
            async with asyncio.timeout(seconds):
                await self.queue_message(
                    data,
                    queue_name,
                    exchange_name=exchange_name,
                    routingkey=routingkey,
                    replyto=await self._own_reply_queue(timeout),
                    correlation_id=correlation_id,
                    striptoken=striptoken,
                    timeout=timeout,
                )
                return await reply
        except TimeoutError:
            raise RequestTimeout(f"no answer within {seconds:g} s", operation="rpc") from None
        finally:
            self._replies.pop(correlation_id, None)

    async def watch(
        self,
        collectionname: str,
        paths: Sequence[str] = (),
        callback: WatchCallback | None = None,
        *,
        timeout: float | None = None,
    ) -> str:
        """Be told of changes in a collection; returns the watch's id. Lost with the link.

        Raises:
            Unsupported: a path with a comma, which the library takes for two.
        """
        if any("," in path for path in paths):
            raise Unsupported("the official library splits paths at commas", operation="watch")
        library = self._signed_in_link("watch").library
        loop = asyncio.get_running_loop()

        def changed(fields: Sequence[str]) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._changed, callback, fields)

        request = abi.WatchRequest(
            collectionname=native_text(collectionname), paths=native_text(",".join(paths))
        )
        try:
            watchid: str = await self._call(
                functions.WATCH,
                request,
                operation="watch",
                timeout=timeout,
                tail=(library.watch_event,),
                events=changed,
            )
        except BaseException:
            library.unlisten(request.request_id)
            raise
        self._listening[request.request_id] = library
        self._watches[watchid] = request.request_id
        return watchid

    async def unwatch(self, watchid: str, *, timeout: float | None = None) -> None:
        """End a watch."""
        await self._call(
            functions.UNWATCH, native_text(watchid), operation="unwatch", timeout=timeout
        )
        self._unlisten(self._watches.pop(watchid, 0))

    async def custom_command(
        self,
        command: str,
        id: str = "",
        name: str = "",
        data: Payload = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Run a command of the server's by name; a result that is no JSON comes as text."""
        request = abi.CustomCommandRequest(
            command=native_text(command),
            id=native_text(id),
            name=native_text(name),
            data=native_text(argument_text(data)),
        )
        text = await self._call(
            functions.CUSTOM_COMMAND,
            request,
            operation="custom_command",
            timeout=timeout,
            tail=(LIBRARY_DEFAULT,),
        )
        return from_message(text)

    async def _register(
        self,
        operation: str,
        free: str,
        register: Callable[[Link, int], Any],
        callback: QueueCallback | None,
        timeout: float | None,
    ) -> str:
        library = self._signed_in_link(operation).library
        loop = asyncio.get_running_loop()
        number = library.next_id()

        def received(fields: Sequence[str]) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._received, callback, fields)

        def call(link: Link) -> str:
            answer = register(link, number)
            name = (answer[0].value or b"").decode("utf-8", "replace")
            _raise_refusal(link, answer, free)
            return name

        library.listen(number, received)
        try:
            name: str = await self._blocking(call, operation=operation, timeout=timeout)
        except BaseException:
            library.unlisten(number)
            raise
        self._unlisten(self._queues.pop(name, 0))
        self._listening[number] = library
        self._queues[name] = number
        return name

    def _received(self, callback: QueueCallback | None, fields: Sequence[str]) -> None:
        queuename, correlation_id, replyto, routingkey, exchangename, data = fields
        event = QueueEvent(
            queuename, correlation_id, replyto, routingkey, exchangename, from_message(data)
        )
        if callback is not None:
            self._run(self._handle(callback, event), f"the callback for the queue {queuename}")

    async def _handle(self, callback: QueueCallback, event: QueueEvent) -> None:
        result = callback(event)
        if inspect.isawaitable(result):
            result = await result
        if result is not None and event.replyto:
            await self.queue_message(
                result, event.replyto, correlation_id=event.correlation_id, striptoken=True
            )

    def _changed(self, callback: WatchCallback | None, fields: Sequence[str]) -> None:
        id, operation, document = fields
        found = from_message(document)
        event = WatchEvent(id, operation, found if isinstance(found, dict) else {})
        if callback is not None:
            self._run(_called(callback, event), f"the callback for the watch {id}")

    async def _own_reply_queue(self, timeout: float | None) -> str:
        async with self._reply_lock:
            if not self._reply_queue:
                self._reply_queue = await self.register_queue("", self._replied, timeout=timeout)
            return self._reply_queue

    def _replied(self, event: QueueEvent) -> None:
        reply = self._replies.get(event.correlation_id)
        if reply is not None and not reply.done():
            reply.set_result(event.data)

    def _unlisten(self, number: int) -> None:
        library = self._listening.pop(number, None)
        if library is not None:
            library.unlisten(number)

    def _forget_subscriptions(self) -> None:
        """Drop what is lost with the link: queues, exchanges, watches, and calls to others."""
        for number in tuple(self._listening):
            self._unlisten(number)
        self._queues.clear()
        self._watches.clear()
        self._reply_queue = ""
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(Disconnected("the link dropped", operation="rpc"))


async def _called(callback: WatchCallback, event: WatchEvent) -> None:
    result = callback(event)
    if inspect.isawaitable(result):
        await result


def _raise_refusal(link: Link, answer: Any, free: str) -> None:
    """Release the answer of a blocking call, and raise what it refused."""
    success = answer[0].success
    text = (answer[0].error or b"").decode("utf-8", "replace")
    link.library.plain(free, answer)
    if not success:
        raise Refused(text)
    link.last_heard = time.monotonic()
