"""Signing in and out: plain forms without any script, and the API's sessions behind them."""

from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import APIRouter, Request
from pydantic import SecretStr, ValidationError
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from worker._version import __version__
from worker.console.parts.times import duration
from worker.console.visits import SIGN_IN
from worker.management.api.access import address_of, give_cookie, require_own_page, take_cookie
from worker.management.api.api import Api
from worker.management.api.routes import SignInPayload
from worker.management.errors import AppError
from worker.unseen import seen

STATIC: Final = Path(__file__).parent / "static"
FILES: Final = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
MOST_FIELDS: Final = 10
GIVE_BOTH: Final = "Give a user name and a password, or a token."


ENDED: Final = {
    "idle": "You were signed out, since nobody had done anything for {idle}.",
    "old": "You were signed out: the sign-in was too long ago. Sign in again to go on.",
    "ended": "This session was ended: by a sign-out, by too many others of yours, or since OpenIAP"
    " takes its credentials no more.",
}
"""Why somebody comes here who was signed in; see ``Sessions.why_over``."""


def sign_in_routes(api: Api) -> APIRouter:
    """Return the routes that there are without a session."""
    router = APIRouter(include_in_schema=False, redirect_slashes=False)

    @router.get(SIGN_IN)
    async def ask(request: Request) -> Response:
        to = _local(request.query_params.get("to", ""))
        if api.sessions.find(request.cookies.get(api.options.cookie, ""), "cookie") is not None:
            return RedirectResponse(to, 303)
        why = ENDED.get(request.query_params.get("ended", ""), "")
        return _page(api, to, why.format(idle=duration(api.options.limits.idle)))

    @router.post(SIGN_IN)
    async def sign_in(request: Request) -> Response:
        given = await _form(request)
        to, name = _local(given.get("to", "")), given.get("username", "")
        try:
            require_own_page(request, api.options)
            payload = SignInPayload(
                username=name,
                password=SecretStr(given.get("password", "")),
                token=SecretStr(given.get("token", "").strip()),
                cookie=True,
            )
            token, _ = await api.sign_in(
                payload.credentials(), "cookie", address_of(request, api.options)
            )
        except ValidationError:
            return _page(api, to, GIVE_BOTH, name, 422)
        except AppError as error:
            return _page(api, to, error.message, name, error.status_code)
        answer = RedirectResponse(to, 303)
        give_cookie(answer, api.options, token)
        return answer

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        try:
            require_own_page(request, api.options)
        except AppError as error:
            return _page(api, "/", error.message, status=error.status_code)
        session = api.sessions.find(request.cookies.get(api.options.cookie, ""), "cookie")
        if session is not None:
            await api.sign_out(session)
        answer = RedirectResponse(SIGN_IN, 303)
        take_cookie(answer, api.options)
        return answer

    @router.get("/favicon.ico")
    async def icon() -> Response:
        return FileResponse(STATIC / "icon.svg", media_type=FILES["icon.svg"])

    @router.get("/console/{name}")
    async def static(name: str) -> Response:
        if name not in FILES:
            return Response(status_code=404)
        headers = {"Cache-Control": "public, max-age=86400"}
        return FileResponse(STATIC / name, media_type=FILES[name], headers=headers)

    return router


def static_url(name: str) -> str:
    """Return where a file of the console's own is."""
    return f"/console/{name}?v={__version__}"


async def _form(request: Request) -> dict[str, str]:
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:  # more fields than that
        return {}


def _local(to: str) -> str:
    """Return where to go after the sign-in: a page of this address, whatever is asked for."""
    parts = urlsplit(to.replace("\\", "/"))
    if (
        parts.scheme
        or parts.netloc
        or not to.startswith("/")
        or to.startswith(("//", "/\\", SIGN_IN))
    ):
        return "/"
    return to if to.isprintable() and to.isascii() else "/"


def _page(api: Api, to: str, problem: str = "", name: str = "", status: int = 200) -> Response:
    def shown(text: str) -> str:
        return escape(seen(text, lambda one: f"\\x{ord(one):02x}"))

    told = f'<p class="problem" role="alert">{shown(problem)}</p>' if problem else ""
    where = shown(urlsplit(api.settings.url).netloc.rpartition("@")[2])
    note = " This console is read-only." if api.options.read_only else ""
    action = SIGN_IN if to == "/" else f"{SIGN_IN}?to={quote(to, safe='')}"
    focus = ("", " autofocus") if name else (" autofocus", "")
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sign in · openiap-worker</title>
<link rel="icon" href="{static_url("icon.svg")}">
<link rel="stylesheet" href="{static_url("console.css")}">
</head>
<body class="sign-in">
<main>
<img src="{static_url("icon.svg")}" alt="" width="44" height="44">
<h1>Sign in</h1>
<p class="quiet">With your user of OpenIAP at <bdi>{where}</bdi>; you see and change what you may
there.{note}</p>
{told}
<form method="post" action="{escape(action)}">
<input type="hidden" name="to" value="{escape(to)}">
<label for="username">User name</label>
<input id="username" name="username" autocomplete="username" autocapitalize="none" maxlength="200"
 spellcheck="false" value="{shown(name)}"{focus[0]}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password"
 maxlength="10000"{focus[1]}>
<details>
<summary>Sign in with a token instead</summary>
<label for="token">Token of OpenIAP</label>
<input id="token" name="token" type="password" autocomplete="off" maxlength="10000">
</details>
<button type="submit">Sign in</button>
</form>
</main>
</body>
</html>
""",
        status,
        headers={"Cache-Control": "no-store"},
    )
