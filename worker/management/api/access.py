"""Who asks, and whether that may be: what every route of a signed-in user depends on.

1. A session's token comes in ``Authorization: Bearer`` or in the cookie; a bearer token wins.
2. A browser sends cookies along by itself, so with a cookie the page that asks must be one of this
   very address: by ``Origin``, or else by ``Sec-Fetch-Site``.
3. ``changing`` is for whatever changes anything: refused with ``--read-only``, and logged with who
   did it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Query, Request, Response
from fastapi.security import APIKeyCookie, HTTPBearer

from worker.management.api.api import Api
from worker.management.api.options import ApiOptions
from worker.management.api.sessions import Session
from worker.management.errors import ForbiddenError, UnauthorizedError, UnavailableError
from worker.openiap.client import Client

SAFE: Final = frozenset({"GET", "HEAD"})
READ_ONLY: Final = "This API is read-only (--read-only): nothing can be changed through it."
SIGN_IN: Final = "Nobody is signed in: POST /api/v1/session first, and send the token along."
FOREIGN: Final = "A page of another address asks with this address's cookie; that is refused."
_bearer = HTTPBearer(auto_error=False, description="The token of POST /api/v1/session.")
_cookie = APIKeyCookie(
    name="openiap_worker_session",
    auto_error=False,
    description="For browsers; with https its name begins with __Host-.",
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        client: with this user's rights, and no others.
    """

    session: Session
    client: Client
    api: Api


def api_of(request: Request) -> Api:
    """Return the state of the API that a request came to."""
    api = request.app.state.api
    assert isinstance(api, Api)
    return api


def give_cookie(response: Response, options: ApiOptions, token: str) -> None:
    """Have a browser keep a token, which no script can read and no other site has sent."""
    response.set_cookie(
        options.cookie, token, path="/", secure=options.https, httponly=True, samesite="strict"
    )


def take_cookie(response: Response, options: ApiOptions) -> None:
    """Have a browser forget it."""
    response.delete_cookie(
        options.cookie, path="/", secure=options.https, httponly=True, samesite="strict"
    )


def address_of(request: Request, options: ApiOptions) -> str:
    """Return where a request came from."""
    if options.behind_proxy:
        named = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if named:
            return named[:100]
    return request.client.host if request.client else ""


def require_own_page(request: Request, options: ApiOptions) -> None:
    """Refuse what a page of another address asks.

    Raises:
        ForbiddenError: it does, or nothing tells that it does not and something would be changed.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is not None:
        scheme = "https" if options.https else "http"
        if origin.lower() != f"{scheme}://{request.headers.get('host', '').lower()}":
            raise ForbiddenError(FOREIGN)
        return
    own = {"same-origin", "none", None} if request.method in SAFE else {"same-origin"}
    if site not in own:
        raise ForbiddenError(FOREIGN)


def session_of(request: Request) -> Session:
    """Return the session of a request.

    Raises:
        UnauthorizedError: there is none.
        ForbiddenError: it comes in a cookie, and of another page.
    """
    api = api_of(request)
    session = None
    given = request.headers.get("authorization")
    if given is not None:
        kind, _, token = given.partition(" ")
        if kind.lower() == "bearer":
            session = api.sessions.find(token.strip(), "bearer")
    elif token := request.cookies.get(api.options.cookie, ""):
        session = api.sessions.find(token, "cookie")
        if session is not None:
            require_own_page(request, api.options)
    if session is None:
        raise UnauthorizedError(SIGN_IN)
    request.scope["signed_in"] = session.user.username
    return session


async def signed_in(
    request: Request,
    bearer: Annotated[object, Depends(_bearer)] = None,
    cookie: Annotated[object, Depends(_cookie)] = None,
) -> AsyncIterator[Caller]:
    """Give a route who asks, for as long as it answers.

    Raises:
        UnauthorizedError: nobody is signed in, or OpenIAP takes the credentials no more.
        RateLimitError: this user asks too often, or too much at once.
        UnavailableError: OpenIAP does not answer.
    """
    session = session_of(request)
    api = api_of(request)
    api.calls.take(session.user.id)
    link = api.links.of(session.key)
    with link.call():
        yield Caller(session, await api.links.client(link), api)


SignedIn = Annotated[Caller, Depends(signed_in)]


def changing(request: Request, caller: SignedIn) -> Caller:
    """Give a route that changes something who asks.

    Raises:
        ForbiddenError: nothing may be changed through this API.
    """
    if caller.api.options.read_only:
        raise ForbiddenError(READ_ONLY)
    caller.api.log.info(
        f"{request.method} {request.url.path}",
        user=caller.session.user.username,
        request=request.scope.get("request_id", ""),
    )
    return caller


DryRun = Annotated[
    bool, Query(description="Change nothing: answer how many items it would be, with a sample.")
]


def changing_unless_dry(request: Request, caller: SignedIn, dry_run: DryRun = False) -> Caller:
    """The same for a route that takes ``dry_run``."""
    return caller if dry_run else changing(request, caller)


Changing = Annotated[Caller, Depends(changing)]
ChangingUnlessDry = Annotated[Caller, Depends(changing_unless_dry)]


@asynccontextmanager
async def one_transfer(api: Api) -> AsyncIterator[None]:
    """Stand for one file that is carried; few are at once, for they lie on this disk meanwhile.

    Raises:
        UnavailableError: too many are.
    """
    try:
        async with asyncio.timeout(api.options.limits.link):
            await api.transfers.acquire()
    except TimeoutError:
        raise UnavailableError("Too many files are carried at once; try again later.") from None
    try:
        yield
    finally:
        api.transfers.release()
