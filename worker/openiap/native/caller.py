"""What every room of calls stands on: one way to send a request and get its reply."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from worker.openiap.native.link import Link
from worker.openiap.native.scope import current_scope

M = TypeVar("M", bound=Message)


class Caller:
    """Sends requests through the link of one client."""

    def __init__(self, link: Link, default_timeout: float, report: Callable[[str], None]) -> None:
        self._link = link
        self._default_timeout = default_timeout
        self._report = report

    def _call(
        self,
        operation: str,
        command: str,
        message: Message,
        kind: type[M],
        timeout: float | None,
        item_id: str = "",
        on_reply: Callable[[M], None] | None = None,
        on_late: Callable[[M], None] | None = None,
    ) -> "asyncio.Future[M]":
        """Send a request and return the future of its reply, which ends by its deadline.

        No coroutine and no task of its own: this is the path of every call.

        Args:
            operation: the documented name, for errors.
            command: the protocol's name.
            kind: the type of the reply.
            timeout: seconds; None for the client's default.
            on_reply: called with the reply before what came behind it is looked at.
            on_late: called with a reply that nobody waits for any more.

        Raises:
            NotConnected: there is no signed-in connection; nothing was sent.
        """
        return self._link.session_for(operation, item_id).request(
            operation,
            command,
            message,
            kind,
            self._default_timeout if timeout is None else timeout,
            item_id=item_id,
            scope=current_scope(self),
            on_reply=on_reply,
            on_late=on_late,
        )

    def _seconds(self, timeout: float | None) -> float:
        return self._default_timeout if timeout is None else timeout
