"""Routes of the API itself: sessions, batches that run, its own health."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Self

from fastapi import APIRouter, Depends, Query, Request, Response, status
from fastapi import Path as InPath
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from worker.management.api.access import (
    Changing,
    SignedIn,
    address_of,
    api_of,
    give_cookie,
    require_own_page,
    session_of,
    take_cookie,
)
from worker.management.api.jobs import JobResponse
from worker.management.api.problems import ALWAYS, MISSING
from worker.management.api.sessions import Carrier, Session
from worker.management.paging import Direction, PageAsked, PaginatedResponse
from worker.openiap.credentials import Credentials
from worker.telemetry.prometheus import CONTENT_TYPE

MOST_NAME: Final = 200
MOST_SECRET: Final = 10_000


class SignInPayload(BaseModel):
    """Who signs in: a user of OpenIAP's with a password, or a token of OpenIAP's.

    Attributes:
        cookie: for browsers: the session comes as a cookie that no script can read, and not in the
            answer.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"username": "me", "password": "secret"}]}
    )

    username: str = Field(default="", max_length=MOST_NAME)
    password: SecretStr = Field(default=SecretStr(""), max_length=MOST_SECRET)
    token: SecretStr = Field(default=SecretStr(""), max_length=MOST_SECRET)
    cookie: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        pair = bool(self.username) + bool(self.password.get_secret_value())
        token = bool(self.token.get_secret_value())
        if pair == 1 or bool(pair) is token:
            raise ValueError("give username and password, or token")
        return self

    def credentials(self) -> Credentials:
        """Return them for a client."""
        return Credentials(
            self.username, self.password.get_secret_value(), self.token.get_secret_value()
        )


class UserResponse(BaseModel):
    """A user of OpenIAP's."""

    id: str
    name: str
    username: str
    roles: list[str]


class SessionResponse(BaseModel):
    """A session.

    Attributes:
        token: to be sent as ``Authorization: Bearer TOKEN``; told once, and not where a cookie is.
        until: when it ends at the latest; it ends before where nobody uses it.
        read_only: whether nothing can be changed here.
    """

    token: str | None = None
    user: UserResponse
    until: datetime
    read_only: bool


class BatchesPageAsked(PageAsked):
    """Which page of the batches; the latest ones first, if nothing else is said."""

    sort_direction: Direction = "desc"


Id = Annotated[
    str, InPath(max_length=MOST_NAME, description="The batch's id.", examples=["0f1e2d3c4b5a6978"])
]
sessions = APIRouter(prefix="/session", tags=["session"], redirect_slashes=False, responses=ALWAYS)
batches = APIRouter(
    prefix="/batches", tags=["batches"], redirect_slashes=False, responses={**ALWAYS, **MISSING}
)
health = APIRouter(tags=["health"], redirect_slashes=False, include_in_schema=False)


@sessions.post("", status_code=status.HTTP_201_CREATED)
async def create_one(
    payload: SignInPayload, request: Request, response: Response
) -> SessionResponse:
    """Sign in as a user of OpenIAP's. Every call of the session has that user's rights."""
    api = api_of(request)
    if "origin" in request.headers or "sec-fetch-site" in request.headers:
        require_own_page(request, api.options)
    carrier: Carrier = "cookie" if payload.cookie else "bearer"
    token, session = await api.sign_in(
        payload.credentials(), carrier, address_of(request, api.options)
    )
    if payload.cookie:
        give_cookie(response, api.options, token)
    return _told(request, session, None if payload.cookie else token)


@sessions.get("")
async def get_one(request: Request, caller: SignedIn) -> SessionResponse:
    """Tell who is signed in."""
    return _told(request, caller.session)


@sessions.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def delete_one(
    request: Request, session: Annotated[Session, Depends(session_of)], response: Response
) -> None:
    """Sign out. With the user's last session its batches stop."""
    api = api_of(request)
    take_cookie(response, api.options)
    await api.sign_out(session)


@batches.get("")
async def get_batches(
    asked: Annotated[BatchesPageAsked, Query()], caller: SignedIn
) -> PaginatedResponse[JobResponse]:
    """List the user's batches, those that run and those that ended lately: one page of them."""
    found = caller.api.jobs.get_list(caller.session.key)
    if asked.sort_direction == "asc":
        found.reverse()
    return PaginatedResponse(
        items=found[asked.offset : asked.offset + asked.limit],
        total=len(found),
        limit=asked.limit,
        offset=asked.offset,
    )


@batches.get("/{id}")
async def get_batch(id: Id, caller: SignedIn) -> JobResponse:
    """Tell how far a batch has come, and what it has done in the end."""
    return caller.api.jobs.get_one(caller.session.key, id)


@batches.delete("/{id}")
async def delete_batch(id: Id, caller: Changing) -> JobResponse:
    """Stop a batch. The same request again, with the ``before`` that this answers, goes on."""
    return await caller.api.jobs.stop_one(caller.session.key, id)


@health.get("/livez")
async def livez() -> PlainTextResponse:
    """Tell that it answers."""
    return PlainTextResponse("ok\n")


@health.get("/metrics")
async def metrics(request: Request) -> Response:
    """Tell how much was asked, and how long it took."""
    return Response(api_of(request).counts.page(), media_type=CONTENT_TYPE)


def _told(request: Request, session: Session, token: str | None = None) -> SessionResponse:
    api, user = api_of(request), session.user
    left = api.sessions.left(session)
    return SessionResponse(
        token=token,
        user=UserResponse(
            id=user.id, name=user.name, username=user.username, roles=list(user.roles)
        ),
        until=datetime.now(UTC) + timedelta(seconds=round(left)),
        read_only=api.options.read_only,
    )
