"""The bounds of every request: whom it is for, its size, its time, and what becomes of a mistake.

1. A request for a name that is not this machine's is refused, and one whose end a proxy in between
   may see elsewhere.
2. A body is read whole before anything is done with it: within a size and a time. Where a file is
   carried, whoever takes it counts.
3. Who is answered before all was sent is not listened to any more.
4. What is not answered in time is given up.
5. What nobody expected is answered without details, and logged.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.management.api.options import ApiOptions
from worker.management.api.problems import plain, unexpected
from worker.telemetry.log import Log

BODILESS: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_NO_MORE: Final[Message] = {"type": "http.request", "body": b"", "more_body": False}


class _TooLarge(Exception):
    pass


class _TooSlow(Exception):
    pass


class _Gone(Exception):
    """Who asked has left."""


class Bounds:
    """An application inside its bounds.

    Args:
        app: what is bounded.
        carries_file: whether the request at a path carries a file, either way.
    """

    def __init__(
        self, app: ASGIApp, options: ApiOptions, carries_file: Callable[[str], bool], log: Log
    ) -> None:
        self._app = app
        self._options = options
        self._carries_file = carries_file
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limits = self._options.limits
        headers = Headers(scope=scope)
        if self._options.hosts is not None and _host(headers) not in self._options.hosts:
            allowed = ", ".join(sorted(self._options.hosts))
            answer = plain(
                421, "MisdirectedRequestError", f"This is for another host; allowed: {allowed}."
            )
            await answer(scope, receive, send)
            return
        if "content-length" in headers and "transfer-encoding" in headers:
            answer = plain(
                400, "RequestError", "Content-Length and Transfer-Encoding: send one of them."
            )
            answer.headers["Connection"] = "close"
            await answer(scope, receive, send)
            return
        begun, whole = False, scope["method"] in BODILESS

        async def begin(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start" and not whole:
                # Who is answered before all was sent would go on sending.
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        async def watched() -> Message:
            nonlocal whole
            message = await receive()
            whole = whole or not message.get("more_body", False)
            return message

        is_file = self._carries_file(scope["path"])
        try:
            async with asyncio.timeout(limits.transfer if is_file else limits.request) as limit:
                taken = watched if is_file else await self._read(headers, watched)
                await self._app(scope, taken, begin)
            return
        except _Gone:
            return
        except asyncio.CancelledError:  # the server stops, and nobody waits for this task
            answer = plain(503, "StoppingError", "The API is stopping; nothing more is done.")
        except _TooLarge:
            answer = plain(
                413, "TooLargeError", f"The request is larger than {limits.body:,} bytes."
            )
        except _TooSlow:
            answer = plain(
                408, "SlowRequestError", f"The request did not come in {limits.body_within:g} s."
            )
        except Exception as error:
            if limit.expired():
                answer = plain(504, "TimeoutError", "It was not done in time, and is given up.")
            else:
                self._log.error(
                    f"{scope['method']} {scope['path']}: {type(error).__name__}: {error}",
                    request=scope.get("request_id", ""),
                )
                answer = unexpected()
        if not begun:
            await answer(scope, receive, begin)

    async def _read(self, headers: Headers, receive: Receive) -> Receive:
        """Return what gives the body, which is read already."""
        most = self._options.limits.body
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > most:
            raise _TooLarge
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._options.limits.body_within):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Gone
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise _TooLarge
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise _TooSlow from None
        whole: list[Message] = [{**_NO_MORE, "body": b"".join(parts)}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        return again


def _host(headers: Headers) -> str:
    """Return the name that a request is for, without its port."""
    host = headers.get("host", "").strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
