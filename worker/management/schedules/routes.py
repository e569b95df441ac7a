"""Routes of schedules: ``/api/v1/schedules``. Each is named ``NAME`` or ``QUEUE/NAME``."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, status
from fastapi import Path as InPath
from pydantic import Field

from worker.management.api.access import Changing, SignedIn
from worker.management.api.problems import ALWAYS, CONFLICT, MISSING
from worker.management.paging import PageAsked, PaginatedResponse
from worker.management.schedules.service import Schedules
from worker.management.schedules.types import (
    MOST_TEXT,
    FiredResponse,
    ScheduleFilter,
    ScheduleFirePayload,
    ScheduleGetPayload,
    SchedulePausePayload,
    ScheduleResponse,
    ScheduleResumePayload,
    SchedulesGetPListPayload,
    ScheduleState,
    SortBy,
)

router = APIRouter(
    prefix="/schedules",
    tags=["schedules"],
    redirect_slashes=False,
    responses={**ALWAYS, **MISSING},
)

Name = Annotated[
    str,
    InPath(
        min_length=1,
        max_length=MOST_TEXT,
        description="Its name, or its queue's name, a slash and its name.",
        examples=["reports/hourly"],
    ),
]


class SchedulesPageAsked(PageAsked):
    """Which schedules, which page of them, in which order."""

    queue: str | None = Field(default=None, max_length=MOST_TEXT, examples=["reports"])
    state: list[ScheduleState] = Field(default=[], max_length=2, examples=[["paused"]])
    sort_by: SortBy = "name"


def schedules_of(caller: SignedIn) -> Schedules:
    """Return the service, with the rights of who asks."""
    api = caller.api
    return Schedules(caller.client, namespace=api.settings.namespace, entries=api.schedules)


Service = Annotated[Schedules, Depends(schedules_of)]


@router.get("")
async def get_plist(
    asked: Annotated[SchedulesPageAsked, Query()], schedules: Service
) -> PaginatedResponse[ScheduleResponse]:
    """List the schedules that workers have brought: one page, and how many there are on all."""
    return await schedules.get_plist(
        SchedulesGetPListPayload(
            filter=ScheduleFilter(queue=asked.queue, states=asked.state),
            **asked.page(),
        )
    )


@router.post("/{name:path}/pause")
async def pause_one(name: Name, schedules: Service, caller: Changing) -> ScheduleResponse:
    """Let no tick happen until it is resumed; takes the right to update its queue."""
    return await schedules.pause_one(SchedulePausePayload(name=name))


@router.post("/{name:path}/resume")
async def resume_one(name: Name, schedules: Service, caller: Changing) -> ScheduleResponse:
    """Let it go on; what it missed is made good as it is declared, within a minute."""
    return await schedules.resume_one(ScheduleResumePayload(name=name))


@router.post("/{name:path}/fire", status_code=status.HTTP_201_CREATED, responses=CONFLICT)
async def fire_one(name: Name, schedules: Service, caller: Changing) -> FiredResponse:
    """Push one item as the schedule would, now; where the API was started with the handlers."""
    return await schedules.fire_one(ScheduleFirePayload(name=name))


@router.get("/{name:path}")
async def get_one(name: Name, schedules: Service) -> ScheduleResponse:
    """Show a schedule: last and next run, and what was missed."""
    return await schedules.get_one(ScheduleGetPayload(name=name))
