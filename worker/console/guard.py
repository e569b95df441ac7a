"""What stands before every page: whom it is for, who asks, and what a page may load and run.

1. A page and a websocket are for a name of this machine (``Bounds`` checks requests, this the
   websockets), and a websocket is opened by a page of this very address alone.
2. Without a session there is the sign-in and nothing else; NiceGUI's own files are no secret.
3. A page loads nothing from elsewhere and runs no script that it did not come with
   (Content-Security-Policy). What NiceGUI needs beyond that: ``'unsafe-eval'``, for it compiles the
   templates of its components, and its own handlers, in the browser; ``style`` attributes, for its
   components set them. Scripts and styles inside a page carry a number that only this answer has.
"""

import secrets
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.console.visits import SIGN_IN
from worker.management.api.api import Api

SOCKETS: Final = "/_nicegui_ws/"
FREE: Final = frozenset({SIGN_IN, "/sign-out", "/favicon.ico"})
FILES: Final = ("/console/", "/_nicegui/")
"""What there is without a session, and files."""
HIDDEN: Final = frozenset({"/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"})
"""Pages of FastAPI's that would load scripts from elsewhere."""
UNWANTED: Final = frozenset({b"x-forwarded-prefix", b"nicegui-check"})
"""Headers that NiceGUI would put into pages, or log."""
POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self' 'nonce-{nonce}' 'unsafe-eval'",
    "style-src-elem": "'self' 'nonce-{nonce}'",
    "style-src-attr": "'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
SIGN_IN_POLICY: Final = {
    **dict.fromkeys(("style-src", "img-src", "form-action"), "'self'"),
    **dict.fromkeys(("default-src", "base-uri", "frame-ancestors"), "'none'"),
}
ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_NUMBERED: Final = (b"<script", b"<style")


class Guard:
    """Pages behind their checks.

    Args:
        app: what has the pages.
    """

    def __init__(self, app: ASGIApp, api: Api) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or take a websocket."""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        elif scope["type"] == "http":
            await self._page(_without(scope, UNWANTED), receive, send)
        else:
            await self._app(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        options, headers = self._api.options, Headers(scope=scope)
        host = headers.get("host", "").lower()
        scheme = "https" if options.https else "http"
        fits = (
            scope["path"].startswith(SOCKETS)
            and headers.get("origin", "").lower() == f"{scheme}://{host}"
            and (options.hosts is None or _name(host) in options.hosts)
        )
        if fits:
            await self._app(_without(scope, UNWANTED), receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "refused"})

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, path = Request(scope), scope["path"]
        policy = SIGN_IN_POLICY if path == SIGN_IN else POLICY
        nonce = secrets.token_urlsafe(16)
        answer = _Answer(send, nonce, policy)
        if path in HIDDEN or path.startswith(SOCKETS):
            await PlainTextResponse("Not here.\n", 404)(scope, receive, answer)
            return
        if path not in FREE and not path.startswith(FILES):
            token = request.cookies.get(self._api.options.cookie, "")
            session = self._api.sessions.find(token, "cookie")
            if session is None:
                wanted = path + (f"?{request.url.query}" if request.url.query else "")
                to = SIGN_IN if wanted == "/" else f"{SIGN_IN}?to={quote(wanted, safe='')}"
                await RedirectResponse(to, 303)(scope, receive, answer)
                return
            scope["signed_in"] = session.user.username
            scope.setdefault("state", {})["session"] = session
        await self._app(scope, receive, answer)


class _Answer:
    """Sends an answer on: with its headers, and a page's scripts with their number."""

    def __init__(self, send: Send, nonce: str, policy: dict[str, str]) -> None:
        self._send = send
        self._nonce = nonce
        self._policy = policy
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in ALWAYS.items():
                headers[name] = value
            headers["Content-Security-Policy"] = "; ".join(
                f"{name} {value.format(nonce=self._nonce)}" for name, value in self._policy.items()
            )
            if headers.get("content-type", "").startswith("text/html"):
                self._start = message  # its length is known at its end
                return
        elif self._start is not None:
            self._parts.append(message.get("body", b""))
            if message.get("more_body", False):
                return
            start, self._start = self._start, None
            # What comes from elsewhere has no "<" in it: NiceGUI writes it as "&lt;".
            body = b"".join(self._parts)
            for tag in _NUMBERED:
                body = body.replace(tag, b'%s nonce="%s"' % (tag, self._nonce.encode()))
            MutableHeaders(scope=start)["Content-Length"] = str(len(body))
            await self._send(start)
            message = {"type": "http.response.body", "body": body}
        await self._send(message)


def _without(scope: Scope, names: Iterable[bytes]) -> Scope:
    kept = [(name, value) for name, value in scope["headers"] if name not in names]
    return {**scope, "headers": kept}


def _name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
