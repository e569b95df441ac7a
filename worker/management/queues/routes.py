"""Routes of queues and breakers: ``/api/v1/queues``, ``/api/v1/breakers``.

A queue's name may have slashes in it; in a path they are written as ``%2F``.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Response, status
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field

from worker.management.api.access import Caller, Changing, ChangingUnlessDry, DryRun, SignedIn
from worker.management.api.jobs import JobResponse
from worker.management.api.problems import ALWAYS, CONFLICT, MISSING, AsciiJson
from worker.management.items.types import BatchPreviewResponse, BatchResponse, ItemFilter
from worker.management.paging import PageAsked, PaginatedResponse
from worker.management.queues.breakers import (
    BreakerChange,
    BreakerResponse,
    Breakers,
    BreakersGetListPayload,
    BreakersGetPListPayload,
    BreakerUpdatePayload,
)
from worker.management.queues.breakers import SortBy as BreakersSortBy
from worker.management.queues.service import OnGone, Queues
from worker.management.queues.types import (
    MOST_NAME,
    QueueCreatePayload,
    QueueDeletePayload,
    QueueDetailResponse,
    QueueFilter,
    QueueGetPayload,
    QueuePause,
    QueuePausePayload,
    QueuePurgePayload,
    QueueResponse,
    QueueResumePayload,
    QueueSettings,
    QueuesGetPListPayload,
    QueueUpdatePayload,
    SortBy,
)

OF_BOTH: Final[dict[int | str, dict[str, Any]]] = {**ALWAYS, **MISSING}
router = APIRouter(prefix="/queues", tags=["queues"], redirect_slashes=False, responses=OF_BOTH)
breakers = APIRouter(
    prefix="/breakers", tags=["breakers"], redirect_slashes=False, responses=OF_BOTH
)

Name = Annotated[
    str,
    InPath(
        min_length=1, max_length=MOST_NAME, description="The queue's name.", examples=["orders"]
    ),
]
Work = Callable[[BatchResponse], Awaitable[None]]
PREVIEWED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": BatchPreviewResponse, "description": "With dry_run"}
}


class QueuesPageAsked(PageAsked):
    """Which queues, which page of them, in which order."""

    name: str | None = Field(
        default=None, max_length=MOST_NAME, description="Text in the name.", examples=["ord"]
    )
    paused: bool | None = Field(
        default=None, description="Paused ones alone, or the others alone.", examples=[True]
    )
    sort_by: SortBy = "name"


class BreakersPageAsked(PageAsked):
    """Which breakers, which page of them, in which order."""

    name: str | None = Field(default=None, max_length=MOST_NAME, examples=["payments"])
    queue: str | None = Field(default=None, max_length=MOST_NAME, examples=["orders"])
    sort_by: BreakersSortBy = "queue"


class PurgeAsked(BaseModel):
    """Which items go. ``filter`` has to be there: an empty one is all, whatever their state.

    Attributes:
        before: with a filter: what changed since then is left alone.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"filter": {"states": ["failed"], "error": "timeout"}}, {"filter": {}}]
        },
    )

    filter: ItemFilter
    before: datetime | None = None


def queues_of(caller: SignedIn) -> Queues:
    """Return the service, with the rights of who asks."""
    return Queues(caller.client)


def breakers_of(caller: SignedIn) -> Breakers:
    """Return the service, with the rights of who asks."""
    return Breakers(caller.client)


Service = Annotated[Queues, Depends(queues_of)]
BreakerService = Annotated[Breakers, Depends(breakers_of)]


@router.get("")
async def get_plist(
    asked: Annotated[QueuesPageAsked, Query()], queues: Service
) -> PaginatedResponse[QueueResponse]:
    """List queues: one page, and how many there are on all."""
    return await queues.get_plist(
        QueuesGetPListPayload(
            filter=QueueFilter(name=asked.name, paused=asked.paused),
            **asked.page(),
        )
    )


@router.post("", status_code=status.HTTP_201_CREATED, responses=CONFLICT)
async def create_one(
    payload: QueueCreatePayload, queues: Service, caller: Changing
) -> QueueResponse:
    """Make a queue; the answer says what is unwise about it."""
    return await queues.create_one(payload)


@router.post("/{name:path}/pause")
async def pause_one(
    name: Name, asked: QueuePause, queues: Service, caller: Changing
) -> QueueResponse:
    """Have no worker pop a queue, until it is resumed or the pause is over; what runs finishes."""
    return await queues.pause_one(QueuePausePayload(name=name, **dict(asked)))


@router.post("/{name:path}/resume")
async def resume_one(name: Name, queues: Service, caller: Changing) -> QueueResponse:
    """Let a queue be popped again."""
    return await queues.resume_one(QueueResumePayload(name=name))


@router.post(
    "/{name:path}/purge",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=JobResponse,
    responses={**PREVIEWED, **CONFLICT},
)
async def purge_one(
    name: Name,
    asked: PurgeAsked,
    queues: Service,
    caller: ChangingUnlessDry,
    response: Response,
    dry_run: DryRun = False,
) -> Any:
    """Delete items of a queue and their files, in the background."""
    payload = QueuePurgePayload(name=name, filter=asked.filter, before=asked.before)
    preview = await queues.preview_purge(payload)
    if dry_run:
        return AsciiJson(preview.model_dump(mode="json"))
    payload = payload.model_copy(update={"before": asked.before or preview.before})

    async def work(progress: BatchResponse) -> None:
        done = await queues.purge_one(payload, _counted_in(progress))
        progress.changed, progress.failed = done.changed, done.failed

    return _begun("purge", preview, work, caller, response)


@router.get("/{name:path}")
async def get_one(name: Name, queues: Service) -> QueueDetailResponse:
    """Show a queue: what waits and runs, its last hour, its workers, what fails in it."""
    return await queues.get_one(QueueGetPayload(name=name))


@router.patch("/{name:path}")
async def update_one(
    name: Name, asked: QueueSettings, queues: Service, caller: Changing
) -> QueueResponse:
    """Change a queue; the answer says what is unwise about it."""
    return await queues.update_one(QueueUpdatePayload(name=name, **dict(asked)))


@router.delete(
    "/{name:path}",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=JobResponse,
    responses=PREVIEWED,
)
async def delete_one(
    name: Name,
    queues: Service,
    caller: ChangingUnlessDry,
    response: Response,
    dry_run: DryRun = False,
) -> Any:
    """Delete a queue with all its items, in the background."""
    payload = QueueDeletePayload(name=name)
    preview = await queues.preview_delete(payload)
    if dry_run:
        return AsciiJson(preview.model_dump(mode="json"))

    async def work(progress: BatchResponse) -> None:
        await queues.delete_one(payload, _counted_in(progress))

    return _begun("delete queue", preview, work, caller, response)


@breakers.get("")
async def get_breakers(
    asked: Annotated[BreakersPageAsked, Query()], service: BreakerService
) -> PaginatedResponse[BreakerResponse]:
    """List the breakers that workers have brought, each for each queue that needs it."""
    return await service.get_plist(
        BreakersGetPListPayload(
            filter=BreakersGetListPayload(name=asked.name, queue=asked.queue),
            **asked.page(),
        )
    )


@breakers.patch("/{name:path}", responses=CONFLICT)
async def update_breaker(
    name: Annotated[
        str,
        InPath(
            min_length=1,
            max_length=MOST_NAME,
            description="The breaker's name.",
            examples=["payments"],
        ),
    ],
    asked: BreakerChange,
    service: BreakerService,
    caller: Changing,
) -> list[BreakerResponse]:
    """Force a breaker open or closed, or leave it to itself; tells how it stands for each queue."""
    return await service.update_one(BreakerUpdatePayload(name=name, **dict(asked)))


def _counted_in(progress: BatchResponse) -> OnGone:
    def gone(number: int) -> None:
        progress.done += number

    return gone


def _begun(
    what: str, preview: BatchPreviewResponse, work: Work, caller: Caller, response: Response
) -> JobResponse:
    progress = BatchResponse(conditional=preview.conditional, before=preview.before)

    async def whole() -> BatchResponse:
        await work(progress)
        return progress

    job = caller.api.jobs.start(caller.session.key, what, progress, whole, preview.count)
    response.headers["Location"] = f"/api/v1/batches/{job.id}"
    return job
