"""``schedules``: list, show, pause, resume, fire."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer

from worker.app.cron import Cron
from worker.cli.shared.client import with_client
from worker.cli.shared.groups import grouped
from worker.cli.shared.handlers import handlers_of
from worker.cli.shared.options import AllOptions, AsJson, Handlers, Options, Utc, settings_of
from worker.cli.shared.output import (
    print_json,
    print_result,
    show_facts,
    show_noted,
    to_stdout,
)
from worker.engine.scheduler.timetable import timetable
from worker.management.schedules.service import Schedules
from worker.management.schedules.types import (
    FiredResponse,
    ScheduleFirePayload,
    ScheduleGetPayload,
    SchedulePausePayload,
    ScheduleResponse,
    ScheduleResumePayload,
    SchedulesGetListPayload,
)
from worker.openiap.client import Client
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

T = TypeVar("T")

app = typer.Typer(help="Look at, pause, resume and fire schedules.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(help="The schedule: its name, or QUEUE/NAME.", show_default=False),
]
COLUMNS = dict.fromkeys(("schedule", "expression", "state", "next"), "whole")

MISSED_ONES = {
    "skip": "missed: left out",
    "last": "missed: the last is done",
    "all": "missed: all are done",
}


@app.command("list")
@grouped
def list_schedules(
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: AllOptions,
) -> None:
    """List the schedules that workers have brought, with last and next run on their own clock."""
    found = _with_schedules(given, lambda one: one.get_list(SchedulesGetListPayload()))
    if as_json:
        print_json([_shown(one) for one in found])
    elif not found:
        to_stdout().print("No schedules. Workers bring them: openiap-worker guide schedules.")
    else:
        rows = [_row(one, utc=utc) for one in found]
        show_noted(to_stdout(), COLUMNS, rows, [_more(one, utc=utc) for one in found])


@app.command("show")
@grouped
def show_one(
    name: Name,
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: AllOptions,
) -> None:
    """Show one schedule: last and next run, and what was missed."""
    asked = ScheduleGetPayload.model_construct(name=name)
    found = _with_schedules(given, lambda schedules: schedules.get_one(asked))
    if as_json:
        print_json(_shown(found))
        return
    show_facts(
        to_stdout(),
        [
            ("schedule", found.full_name),
            ("expression", f"{found.expression} ({found.tz})"),
            ("state", found.state),
            ("last", _there(found, found.last, utc=utc) if found.last else "never"),
            ("next", _there(found, found.next, utc=utc)),
            ("not done in time", f"{found.missed_ticks:,} so far"),
            ("missed", MISSED_ONES.get(found.missed, found.missed).removeprefix("missed: ")),
            ("since", _there(found, found.since, utc=utc)),
        ],
    )


@app.command("pause")
@grouped
def pause(
    name: Name,
    as_json: AsJson = False,
    *,
    given: AllOptions,
) -> None:
    """Let no tick happen until it is resumed; takes the right to update its queue."""
    asked = SchedulePausePayload.model_construct(name=name)
    found = _with_schedules(given, lambda schedules: schedules.pause_one(asked))
    print_result(_shown(found), f"Paused {found.full_name}.", as_json=as_json)


@app.command("resume")
@grouped
def resume(
    name: Name,
    as_json: AsJson = False,
    *,
    given: AllOptions,
) -> None:
    """Let it go on; what it missed is made good as it is declared, within a minute."""
    asked = ScheduleResumePayload.model_construct(name=name)
    found = _with_schedules(given, lambda schedules: schedules.resume_one(asked))
    print_result(_shown(found), f"Resumed {found.full_name}.", as_json=as_json)


@app.command("fire")
@grouped
def fire(
    name: Name,
    handlers: Handlers = None,
    as_json: AsJson = False,
    *,
    given: AllOptions,
) -> None:
    """Push one item as the schedule would, now, whatever its ticks and whether it is paused."""
    chosen, registry = handlers_of(given, handlers)
    entries = timetable(registry, datetime.now(UTC))
    asked = ScheduleFirePayload.model_construct(name=name)

    async def work(signed: Client) -> FiredResponse:
        schedules = Schedules(signed, namespace=chosen.namespace, entries=entries)
        return await schedules.fire_one(asked)

    fired = with_client(chosen, work)
    text = f"Pushed item {fired.id} to {fired.queue}."
    print_result(fired.model_dump(), text, as_json=as_json)


def _with_schedules(given: Options, work: Callable[[Schedules], Awaitable[T]]) -> T:
    chosen = settings_of(given).settings
    return with_client(chosen, lambda one: work(Schedules(one, namespace=chosen.namespace)))


def _shown(schedule: ScheduleResponse) -> JsonObject:
    moments = {name: getattr(schedule, name) for name in ("since", "last", "next")}
    told = {name: None if one is None else iso(one) for name, one in moments.items()}
    return {**schedule.model_dump(), **told}


def _row(schedule: ScheduleResponse, *, utc: bool = False) -> tuple[Any, ...]:
    return (
        schedule.full_name,
        schedule.expression,
        schedule.state,
        _there(schedule, schedule.next, utc=utc),
    )


def _more(schedule: ScheduleResponse, *, utc: bool = False) -> str:
    last = _there(schedule, schedule.last, utc=utc) if schedule.last else "never"
    missed = MISSED_ONES.get(schedule.missed, schedule.missed)
    late = f"; {schedule.missed_ticks:,} not done in time" if schedule.missed_ticks else ""
    return f"last {last}; zone {schedule.tz}; {missed}{late}"


def _there(schedule: ScheduleResponse, moment: datetime | None, *, utc: bool) -> str:
    """Return a moment as the schedule's own clock shows it, or in UTC."""
    if moment is None:
        return ""
    moment = moment.astimezone(UTC)
    with suppress(ValueError):  # another version's expression, or a zone that is not known here
        if not utc:
            moment = moment.astimezone(Cron(schedule.expression, schedule.tz).zone)
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"
