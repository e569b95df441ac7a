"""Message queues, exchanges, calls to others, watches, and commands."""

import asyncio
import inspect
from collections.abc import Sequence
from typing import Any, Literal
from uuid import uuid4

from worker.openiap.api.subject import Subject
from worker.openiap.counted import counted
from worker.openiap.errors import OpenIAPError, RequestTimeout
from worker.openiap.types import Payload, QueueCallback, QueueEvent, ToldMessage, WatchCallback
from worker.openiap.values import argument_text, from_message


class MessageCalls(Subject):
    """The documented calls on messages.

    The client that a worker, ``worker.client()``, ``connect`` or ``sync`` gives keeps what is
    registered across cuts. One made by hand loses it with the link with the official client, where
    it registers again after every sign-in; the native client does so by itself. Registering the
    same again only replaces the callback.

    A callback takes the event, or the event and its number. ``queue_name`` and ``exchange_name``
    are other spellings of ``queuename`` and ``exchangename``.
    """

    async def register_queue(
        self,
        queuename: str = "",
        callback: QueueCallback | None = None,
        *,
        queue_name: str = "",
        timeout: float | None = None,
    ) -> str:
        """Receive what is sent to a message queue; returns its name ("" makes one up).

        A result of the callback other than None is sent back to the message's ``replyto``.

        Raises:
            TypeError: no callback, or one that takes no event.
        """
        if callback is None:
            raise TypeError("register_queue: no callback; allowed: one that takes the event")
        return await self._backend.messages.register_queue(
            queuename or queue_name, self._answering(callback), self._seconds(timeout)
        )

    async def register_exchange(
        self,
        exchangename: str = "",
        callback: QueueCallback | None = None,
        *,
        algorithm: Literal["direct", "fanout", "topic", "header"] = "fanout",
        routingkey: str = "",
        addqueue: bool = True,
        exchange_name: str = "",
        timeout: float | None = None,
    ) -> str:
        """Receive what is sent to an exchange; returns the name of the queue made for it."""
        return await self._backend.messages.register_exchange(
            exchangename or exchange_name,
            None if callback is None else self._answering(callback),
            algorithm,
            routingkey,
            addqueue,
            self._seconds(timeout),
        )

    async def unregister_queue(
        self, queuename: str = "", *, queue_name: str = "", timeout: float | None = None
    ) -> None:
        """Stop receiving."""
        await self._backend.messages.unregister_queue(
            queuename or queue_name, self._seconds(timeout)
        )

    async def queue_message(
        self,
        data: Payload,
        queuename: str = "",
        exchangename: str = "",
        routingkey: str = "",
        replyto: str = "",
        correlation_id: str = "",
        striptoken: bool = False,
        expiration: int = 0,
        *,
        queue_name: str = "",
        exchange_name: str = "",
        timeout: float | None = None,
    ) -> None:
        """Send a message to a queue or an exchange; ``expiration`` in milliseconds."""
        await self._call(
            "queue_message",
            timeout,
            queuename=queuename or queue_name,
            correlationId=correlation_id,
            replyto=replyto,
            routingkey=routingkey,
            exchangename=exchangename or exchange_name,
            data=argument_text(data),
            striptoken=striptoken,
            expiration=expiration,
        )

    async def rpc(
        self,
        data: Payload,
        queuename: str = "",
        exchangename: str = "",
        routingkey: str = "",
        striptoken: bool = False,
        *,
        queue_name: str = "",
        exchange_name: str = "",
        timeout: float | None = None,
    ) -> Any:
        """Send a message and wait for its answer.

        Raises:
            RequestTimeout: nobody answered in time.
        """
        seconds = self._seconds(timeout)
        replies, messages = self._backend.replies, self._backend.messages
        correlation_id = uuid4().hex
        reply = replies.expect(correlation_id)
        try:
            async with asyncio.timeout(seconds):
                await self.queue_message(
                    data,
                    queuename or queue_name,
                    exchangename=exchangename or exchange_name,
                    routingkey=routingkey,
                    replyto=await replies.own_queue(lambda: messages.register_replies(seconds)),
                    correlation_id=correlation_id,
                    striptoken=striptoken,
                    timeout=seconds,
                )
                return await reply
        except TimeoutError:
            raise RequestTimeout(f"no answer within {seconds:g} s", operation="rpc") from None
        finally:
            replies.forget(correlation_id)

    async def watch(
        self,
        collectionname: str,
        paths: Sequence[str] | str = (),
        callback: WatchCallback | None = None,
        *,
        timeout: float | None = None,
    ) -> str:
        """Be told of changes in a collection; returns the watch's id.

        With the native client, asking again for the same with the same callback returns the watch
        that is there.

        Args:
            paths: one JSONPath or several; none is every document.

        Raises:
            TypeError: a callback that takes no event.
            Unsupported: a path with a comma, which the official library takes for two.
        """
        wanted = [paths] if isinstance(paths, str) else list(paths)
        return await self._backend.messages.watch(
            collectionname,
            [path for path in wanted if path],
            None if callback is None else counted(callback),
            self._seconds(timeout),
        )

    async def unwatch(self, watchid: str, *, timeout: float | None = None) -> None:
        """End a watch."""
        await self._backend.messages.unwatch(watchid, self._seconds(timeout))

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
        text = await self._call(
            "custom_command",
            timeout,
            command=command,
            id=id,
            name=name,
            data=argument_text(data),
        )
        return from_message(text)

    def _answering(self, callback: QueueCallback) -> ToldMessage:
        """Wrap a callback so that its result goes back to whoever asked."""
        tell = counted(callback)

        def called(event: QueueEvent) -> Any:
            result = tell(event)
            if event.replyto and result is not None:
                return self._answer(event, result)
            return result

        return called

    async def _answer(self, event: QueueEvent, result: Any) -> None:
        if inspect.isawaitable(result):
            result = await result
        if result is None:
            return
        try:
            await self.queue_message(
                result, event.replyto, correlation_id=event.correlation_id, striptoken=True
            )
        except OpenIAPError as error:
            self._report(f"the answer to a message on {event.queuename} was not sent: {error.text}")
