"""The documented calls on message queues, exchanges, watches and commands."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Literal
from uuid import uuid4

from worker.openiap.errors import Disconnected, RequestTimeout
from worker.openiap.native.collections import json_argument
from worker.openiap.native.registrations import (
    Registration,
    Watch,
    send_exchange,
    send_queue,
    send_watch,
)
from worker.openiap.native.workitems import WorkitemCalls
from worker.openiap.types import Payload, QueueCallback, WatchCallback
from worker.openiap.values import from_message
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.messages import wire_text


class Answers:
    """Matches the answers to this client's own ``rpc`` calls by their correlation ids."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self.queue: Registration | None = None
        self.lock: Final = asyncio.Lock()

    def expect(self, correlation_id: str) -> "asyncio.Future[Any]":
        """Return the future of the answer."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[correlation_id] = answer
        return answer

    def forget(self, correlation_id: str) -> None:
        """Wait no longer."""
        answer = self._waiting.pop(correlation_id, None)
        if answer is not None:
            answer.cancel()

    def take(self, event: pb.QueueEvent) -> bool:
        """Look whether a message is such an answer."""
        if self.queue is None or event.queuename != self.queue.current:
            return False
        answer = self._waiting.get(event.correlationId)
        if answer is not None and not answer.done():
            answer.set_result(from_message(event.data))
        return True

    def lost(self, reason: str) -> None:
        """The link dropped, and with it the queue for answers."""
        self.queue = None
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Disconnected(reason, operation="rpc"))


class MessageCalls(WorkitemCalls):
    """See ``worker.openiap.client.Client`` for each. Registrations survive a reconnect."""

    _answers: Answers

    async def register_queue(
        self, queue_name: str, callback: QueueCallback, *, timeout: float | None = None
    ) -> str:
        """Receive what is sent to a message queue; returns its name ("" makes one up).

        A result of the callback other than None is sent back to the message's ``replyto``. A queue
        that is registered already only gets the new callback.
        """
        known = self._link.registrations.queues.get(queue_name)
        session = self._link.session_for("register_queue")
        if known is not None and known.current:
            known.callback = callback
            return known.name
        one = Registration(queue_name, callback, made_up=not queue_name)
        # Before it is asked for: a message may come right behind the reply.
        self._link.registrations.joining.append(one)
        try:
            await send_queue(session, one, wire_text(queue_name), self._seconds(timeout))
        finally:
            self._link.registrations.joining.remove(one)
        return self._keep(one)

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
        """Receive what is sent to an exchange; returns the name of the queue made for it.

        An exchange that is registered already in the same way only gets the new callback.
        """
        session = self._link.session_for("register_exchange")
        request = pb.RegisterExchangeRequest(
            exchangename=wire_text(exchange_name),
            algorithm=algorithm,
            routingkey=wire_text(routingkey),
            addqueue=addqueue,
        )
        for known in self._link.registrations.queues.values():
            if known.exchange == request and known.current:
                known.callback = callback
                return known.name
        one = Registration("", callback, request)
        self._link.registrations.joining.append(one)
        try:
            await send_exchange(session, one, self._seconds(timeout))
        finally:
            self._link.registrations.joining.remove(one)
        return self._keep(one)

    def _keep(self, one: Registration) -> str:
        one.name = one.name or one.current
        key = one.name or f"exchange {one.exchange.exchangename if one.exchange else ''}"
        self._link.registrations.queues[key] = one
        return one.name

    async def unregister_queue(self, queue_name: str, *, timeout: float | None = None) -> None:
        """Stop receiving."""
        session = self._link.session_for("unregister_queue")
        one = self._link.registrations.queues.pop(queue_name, None)
        name = one.current if one is not None and one.current else queue_name
        await session.request(
            "unregister_queue",
            "unregisterqueue",
            pb.UnRegisterQueueRequest(queuename=wire_text(name)),
            pb.UnRegisterQueueResponse,
            self._seconds(timeout),
        )

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
        await self._call(
            "queue_message",
            "queuemessage",
            pb.QueueMessageRequest(
                queuename=wire_text(queue_name),
                correlationId=correlation_id,
                replyto=replyto,
                routingkey=wire_text(routingkey),
                exchangename=wire_text(exchange_name),
                data=json_argument(data),
                striptoken=striptoken,
                expiration=expiration,
            ),
            pb.QueueMessageResponse,
            timeout,
        )

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
        answer = self._answers.expect(correlation_id)
        try:
            async with asyncio.timeout(seconds):
                await self.queue_message(
                    data,
                    queue_name,
                    exchange_name=exchange_name,
                    routingkey=routingkey,
                    replyto=await self._answer_queue(seconds),
                    correlation_id=correlation_id,
                    striptoken=striptoken,
                    timeout=seconds,
                )
                return await answer
        except TimeoutError:
            raise RequestTimeout(f"no answer within {seconds:g} s", operation="rpc") from None
        finally:
            self._answers.forget(correlation_id)

    async def _answer_queue(self, timeout: float) -> str:
        """Return the queue for answers on the present connection, made when first needed."""
        async with self._answers.lock:
            if self._answers.queue is None:
                session = self._link.session_for("rpc")
                one = Registration("", None)
                await send_queue(session, one, "", timeout)
                self._answers.queue = one
            return self._answers.queue.current

    async def watch(
        self,
        collectionname: str,
        paths: Sequence[str] = (),
        callback: WatchCallback | None = None,
        *,
        timeout: float | None = None,
    ) -> str:
        """Be told of changes in a collection; returns the watch's id.

        Asking again for the same with the same callback returns the watch that is there.
        """
        session = self._link.session_for("watch")
        request = pb.WatchRequest(collectionname=collectionname, paths=paths)
        for known in self._link.registrations.watches.values():
            if known.request == request and known.callback == callback and known.current:
                return known.id
        one = Watch("", callback, request)
        self._link.registrations.starting.append(one)
        try:
            await send_watch(session, one, self._seconds(timeout))
        finally:
            self._link.registrations.starting.remove(one)
        one.id = one.id or one.current
        self._link.registrations.watches[one.id] = one
        return one.id

    async def unwatch(self, watchid: str, *, timeout: float | None = None) -> None:
        """End a watch."""
        session = self._link.session_for("unwatch")
        one = self._link.registrations.watches.pop(watchid, None)
        await session.request(
            "unwatch",
            "unwatch",
            pb.UnWatchRequest(id=one.current if one is not None and one.current else watchid),
            pb.UnWatchResponse,
            self._seconds(timeout),
        )

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
        reply = await self._call(
            "custom_command",
            "customcommand",
            pb.CustomCommandRequest(
                command=wire_text(command), id=id, name=wire_text(name), data=json_argument(data)
            ),
            pb.CustomCommandResponse,
            timeout,
        )
        return from_message(reply.result)
