"""Routes of workers: ``/api/v1/workers``, ``/api/v1/hours``."""

from typing import Annotated, Final, Self

from fastapi import APIRouter, Body, Depends, Query
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.management.api.access import Changing, SignedIn
from worker.management.api.problems import ALWAYS, CONFLICT, MISSING
from worker.management.paging import PageAsked, PaginatedResponse
from worker.management.workers.service import Workers
from worker.management.workers.types import (
    MOST_TEXT,
    Action,
    HourResponse,
    SortBy,
    SteeredResponse,
    WorkerDetailResponse,
    WorkerFilter,
    WorkerGetPayload,
    WorkerResponse,
    WorkersGetHourPayload,
    WorkersGetPListPayload,
    WorkersSteerBatchPayload,
    WorkersSteerBatchResponse,
    WorkerState,
    WorkerSteerPayload,
)

LONGEST: Final = 20.0
"""Seconds that an answer is waited for at most, with ``service.PATIENCE`` on top of it: well within
the time of a request (``Limits.request``)."""

router = APIRouter(
    prefix="/workers", tags=["workers"], redirect_slashes=False, responses={**ALWAYS, **MISSING}
)
hours = APIRouter(
    prefix="/hours", tags=["workers"], redirect_slashes=False, responses={**ALWAYS, **MISSING}
)

Id = Annotated[
    str,
    InPath(min_length=1, max_length=MOST_TEXT, description="The worker's id.", examples=["host-1"]),
]


class WorkersAsked(BaseModel):
    """Which workers."""

    model_config = ConfigDict(extra="forbid")

    queue: str | None = Field(
        default=None, max_length=MOST_TEXT, description="One that they work.", examples=["orders"]
    )
    state: list[WorkerState] = Field(default=[], max_length=4, examples=[["working", "quiet"]])
    trouble: bool | None = Field(
        default=None, description="Whether something is amiss.", examples=[True]
    )

    def filter(self) -> WorkerFilter:
        """Return the filter."""
        return WorkerFilter(queue=self.queue, states=self.state, trouble=self.trouble)


class WorkersPageAsked(PageAsked, WorkersAsked):
    """Which workers, which page of them, in which order."""

    sort_by: SortBy = "id"


class CommandAsked(BaseModel):
    """For how many seconds an answer is waited for; after that it is not done any more."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"within": 10}]})

    within: float = Field(default=10.0, ge=1.0, le=LONGEST)


class SetAsked(CommandAsked):
    """One of both, until the worker ends: items of a queue at once, or the log level."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"queue": "orders", "concurrency": 4}, {"log_level": "debug"}]
        },
    )

    queue: str | None = Field(default=None, min_length=1, max_length=MOST_TEXT)
    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    log_level: str | None = Field(default=None, max_length=20)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.concurrency is None) == (self.log_level is None):
            raise ValueError("give concurrency with queue, or log_level")
        if (self.concurrency is None) != (self.queue is None):
            raise ValueError("queue and concurrency go together")
        return self


class SteerAsked(WorkersSteerBatchPayload):
    """What workers are to do. ``filter`` has to be there: an empty one is all of them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"action": "quiet", "filter": {"queue": "orders"}},
                {
                    "action": "concurrency",
                    "queue": "orders",
                    "value": 2,
                    "filter": {"ids": ["host-1"]},
                },
            ]
        },
    )

    filter: WorkerFilter
    within: float = Field(default=10.0, ge=1.0, le=LONGEST)


def workers_of(caller: SignedIn) -> Workers:
    """Return the service, with the rights of who asks."""
    settings = caller.api.settings
    return Workers(caller.client, dead_after=settings.dead_after, namespace=settings.namespace)


Service = Annotated[Workers, Depends(workers_of)]
Told = Annotated[CommandAsked, Body()]
USUAL: Final = CommandAsked()


@router.get("")
async def get_plist(
    asked: Annotated[WorkersPageAsked, Query()], workers: Service
) -> PaginatedResponse[WorkerResponse]:
    """List workers, those that ended within the last hour included: one page, and how many."""
    return await workers.get_plist(
        WorkersGetPListPayload(
            filter=asked.filter(),
            **asked.page(),
        )
    )


@router.post("/steer")
async def steer_batch(
    asked: SteerAsked, workers: Service, caller: Changing
) -> WorkersSteerBatchResponse:
    """Tell many workers to do something, and wait for what each answers."""
    return await workers.steer_batch(asked)


@router.get("/{id}")
async def get_one(id: Id, workers: Service) -> WorkerDetailResponse:
    """Show a worker: what it does now, its last hour, and what it was told."""
    return await workers.get_one(WorkerGetPayload(id=id))


@router.post("/{id}/quiet", responses=CONFLICT)
async def quiet_one(
    id: Id, workers: Service, caller: Changing, asked: Told = USUAL
) -> SteeredResponse:
    """Have a worker take no more items; those in flight go on."""
    return await workers.steer_one(_told(id, "quiet", asked))


@router.post("/{id}/resume", responses=CONFLICT)
async def resume_one(
    id: Id, workers: Service, caller: Changing, asked: Told = USUAL
) -> SteeredResponse:
    """Have a worker that is quiet take items again."""
    return await workers.steer_one(_told(id, "resume", asked))


@router.post("/{id}/stop", responses=CONFLICT)
async def stop_one(
    id: Id, workers: Service, caller: Changing, asked: Told = USUAL
) -> SteeredResponse:
    """Have a worker finish what it has and end; what runs it may start it again."""
    return await workers.steer_one(_told(id, "stop", asked))


@router.post("/{id}/stacks", responses=CONFLICT)
async def stacks_of_one(
    id: Id, workers: Service, caller: Changing, asked: Told = USUAL
) -> SteeredResponse:
    """Tell where the handlers are that run now in a worker, by item."""
    return await workers.steer_one(_told(id, "stacks", asked))


@router.post("/{id}/set", responses=CONFLICT)
async def set_one(id: Id, asked: SetAsked, workers: Service, caller: Changing) -> SteeredResponse:
    """Change how many items of a queue a worker works at once, or its log level."""
    payload = _told(id, "log_level", asked, value=asked.log_level)
    if asked.concurrency is not None:
        payload = _told(id, "concurrency", asked, queue=asked.queue or "", value=asked.concurrency)
    return await workers.steer_one(payload)


@hours.get("")
async def get_hour(asked: Annotated[WorkersAsked, Query()], workers: Service) -> list[HourResponse]:
    """Tell of the last hour of each queue, by all workers that told, also those that are gone."""
    return await workers.get_hour(WorkersGetHourPayload(filter=asked.filter()))


def _told(
    id: str,
    action: Action,
    asked: CommandAsked,
    *,
    queue: str = "",
    value: int | str | None = None,
) -> WorkerSteerPayload:
    return WorkerSteerPayload(id=id, action=action, queue=queue, value=value, within=asked.within)
