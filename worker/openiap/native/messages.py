"""Message queues, exchanges and watches, which survive a reconnect."""

from worker.openiap.native.link import Link
from worker.openiap.native.registrations import (
    Registration,
    Watch,
    send_exchange,
    send_queue,
    send_watch,
)
from worker.openiap.types import ToldChange, ToldMessage
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.messages import wire_text


class Messages:
    """Registers what one client wants to be told; a ``MessageBackend``."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._registrations = link.registrations

    async def register_queue(self, queue_name: str, callback: ToldMessage, seconds: float) -> str:
        """Register a queue; one that is registered already only gets the new callback."""
        known = self._registrations.queues.get(queue_name)
        session = self._link.session_for("register_queue")
        if known is not None and known.current:
            known.callback = callback
            return known.name
        one = Registration(queue_name, callback, made_up=not queue_name)
        # Before it is asked for: a message may come right behind the reply.
        self._registrations.joining.append(one)
        try:
            await send_queue(session, one, wire_text(queue_name), seconds)
        finally:
            self._registrations.joining.remove(one)
        return self._keep(one)

    async def register_exchange(
        self,
        exchange_name: str,
        callback: ToldMessage | None,
        algorithm: str,
        routingkey: str,
        addqueue: bool,
        seconds: float,
    ) -> str:
        """Register an exchange; one that is registered in the same way gets the new callback."""
        session = self._link.session_for("register_exchange")
        request = pb.RegisterExchangeRequest(
            exchangename=wire_text(exchange_name),
            algorithm=algorithm,
            routingkey=wire_text(routingkey),
            addqueue=addqueue,
        )
        for known in self._registrations.queues.values():
            if known.exchange == request and known.current:
                known.callback = callback
                return known.name
        one = Registration("", callback, request)
        self._registrations.joining.append(one)
        try:
            await send_exchange(session, one, seconds)
        finally:
            self._registrations.joining.remove(one)
        return self._keep(one)

    def _keep(self, one: Registration) -> str:
        one.name = one.name or one.current
        key = one.name or f"exchange {one.exchange.exchangename if one.exchange else ''}"
        self._registrations.queues[key] = one
        return one.name

    async def unregister_queue(self, queue_name: str, seconds: float) -> None:
        """Stop receiving; while the link is down it is enough not to register again."""
        one = self._registrations.queues.pop(queue_name, None)
        if one is not None and not self._link.connected:
            return
        session = self._link.session_for("unregister_queue")
        name = one.current if one is not None and one.current else queue_name
        await session.request(
            "unregister_queue",
            "unregisterqueue",
            pb.UnRegisterQueueRequest(queuename=wire_text(name)),
            pb.UnRegisterQueueResponse,
            seconds,
        )

    async def register_replies(self, seconds: float) -> str:
        """Register the queue for replies, on the present connection only."""
        one = Registration("", None)
        await send_queue(self._link.session_for("rpc"), one, "", seconds)
        return one.current

    async def watch(
        self,
        collectionname: str,
        paths: list[str],
        callback: ToldChange | None,
        seconds: float,
    ) -> str:
        """Start a watch; the same with the same callback is started once."""
        session = self._link.session_for("watch")
        request = pb.WatchRequest(collectionname=collectionname, paths=paths)
        for known in self._registrations.watches.values():
            if known.request == request and known.callback == callback and known.current:
                return known.id
        one = Watch("", callback, request)
        self._registrations.starting.append(one)
        try:
            await send_watch(session, one, seconds)
        finally:
            self._registrations.starting.remove(one)
        one.id = one.id or one.current
        self._registrations.watches[one.id] = one
        return one.id

    async def unwatch(self, watchid: str, seconds: float) -> None:
        """End a watch; while the link is down it is enough not to start it again."""
        one = self._registrations.watches.pop(watchid, None)
        if one is not None and not self._link.connected:
            return
        session = self._link.session_for("unwatch")
        await session.request(
            "unwatch",
            "unwatch",
            pb.UnWatchRequest(id=one.current if one is not None and one.current else watchid),
            pb.UnWatchResponse,
            seconds,
        )
