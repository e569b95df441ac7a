"""Websockets of pages: each is of the session whose cookie it came with, and acts on its pages.

NiceGUI's handlers believe the id of a page that a message names. These stand before them: a socket
without a session has its page reloaded, which leads to the sign-in; a message for a page of another
session is dropped.
"""

from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs

from nicegui import core
from socketio.exceptions import ConnectionRefusedError as Refused

from worker.console.visits import Visits
from worker.management.api.api import Api
from worker.management.api.sessions import Session

SPACE: Final = "/"
RELOAD: Final = "Implicit handshake failed"
"""What NiceGUI's script reloads a page at."""
OF_PAGES: Final = ("handshake", "event", "javascript_response", "ack")
OTHERS: Final = frozenset({"connect", "disconnect", "log"})
MOST_LINE: Final = 300


class SocketsError(Exception):
    """NiceGUI takes messages that are not known here, so that they would not be checked."""


def guard_sockets(api: Api, visits: Visits) -> None:
    """Put checks before NiceGUI's handlers; once a process.

    Raises:
        SocketsError: this version of NiceGUI has other handlers.
    """
    handlers: dict[str, Callable[..., Any]] = core.sio.handlers[SPACE]
    known = {*OF_PAGES, *OTHERS}
    if set(handlers) != known:
        raise SocketsError(
            f"This version of NiceGUI takes the messages {', '.join(sorted(handlers))}; known are"
            f" {', '.join(sorted(known))}. Install the version that openiap-worker[console] names."
        )
    sessions: dict[str, Session] = {}
    connect, disconnect = handlers["connect"], handlers["disconnect"]

    async def connected(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        session = api.sessions.find(_cookie(environ, api.options.cookie), "cookie")
        query = parse_qs(environ.get("QUERY_STRING", ""))
        visit = visits.find(query.get("client_id", [""])[0])
        if session is None or visit is None or visit.session is not session:
            raise Refused(RELOAD)
        sessions[sid] = session
        await connect(sid, environ, auth)

    def disconnected(sid: str, reason: Any = None) -> None:
        disconnect(sid)
        sessions.pop(sid, None)

    def of_page(handler: Callable[..., Any], *, is_use: bool) -> Callable[..., Any]:
        async def checked(sid: str, message: Any) -> Any:
            session = sessions.get(sid)
            id = message.get("client_id") if isinstance(message, dict) else None
            visit = visits.find(id) if isinstance(id, str) else None
            if session is None or visit is None or visit.session is not session:
                return False
            held = api.sessions.use(session) if is_use else api.sessions.holds(session)
            if not held:
                visit.to_sign_in()
                return False
            done = handler(sid, message)
            return await done if hasattr(done, "__await__") else done

        return checked

    def logged(sid: str, message: Any) -> None:
        if isinstance(message, dict) and sid in sessions:
            api.log.verbose(f"console, in a browser: {str(message.get('message'))[:MOST_LINE]!r}")

    core.sio.on("connect", connected)
    core.sio.on("disconnect", disconnected)
    core.sio.on("log", logged)
    for name in OF_PAGES:
        core.sio.on(name, of_page(handlers[name], is_use=name == "event"))


def _cookie(environ: dict[str, Any], name: str) -> str:
    try:
        found = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value
