"""``schedules``: list, pause, resume, fire."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer

from worker.app.cron import Cron
from worker.cli.shared.client import run_async, with_client
from worker.cli.shared.errors import CommandError, usage_error
from worker.cli.shared.handlers import handlers_of
from worker.cli.shared.options import (
    AsJson,
    ClientName,
    Handlers,
    Options,
    Set,
    SettingsFile,
    Url,
    Utc,
    settings_of,
)
from worker.cli.shared.output import print_json, print_result, show_noted, to_stdout
from worker.engine.scheduler.records import Record, Records, ScheduleKey
from worker.engine.scheduler.timetable import ScheduleEntry, timetable
from worker.openiap.client import Client
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject
from worker.producer.insert import KnownQueues

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
def list_schedules(
    utc: Utc = False,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
    assignments: Set = None,
) -> None:
    """List the schedules that workers have brought, with last and next run on their own clock."""

    async def work(_: Client, records: Records) -> list[Record]:
        return await records.all()

    found = _with_records(Options(url, settings, client, assignments), work)
    now = datetime.now(UTC)
    if as_json:
        print_json([_shown(record, now) for record in found])
    elif not found:
        to_stdout().print("No schedules. Workers bring them: openiap-worker guide schedules.")
    else:
        rows = [_row(record, now, utc=utc) for record in found]
        show_noted(to_stdout(), COLUMNS, rows, [_more(record, utc=utc) for record in found])


@app.command("pause")
def pause(
    name: Name,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
    assignments: Set = None,
) -> None:
    """Let no tick happen until it is resumed."""
    _switch(name, Options(url, settings, client, assignments), paused=True, as_json=as_json)


@app.command("resume")
def resume(
    name: Name,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
    assignments: Set = None,
) -> None:
    """Let it go on; what it missed is made good as it is declared, within a minute."""
    _switch(name, Options(url, settings, client, assignments), paused=False, as_json=as_json)


@app.command("fire")
def fire(
    name: Name,
    handlers: Handlers = None,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
    assignments: Set = None,
) -> None:
    """Push one item as the schedule would, now, whatever its ticks and whether it is paused."""
    now = datetime.now(UTC)
    chosen, registry = handlers_of(Options(url, settings, client, assignments), handlers)
    entries = {entry.key: entry for entry in timetable(registry, now)}
    entry = entries[_one(name, list(entries), "in these handlers")]

    payload, called = run_async(_content(entry, now))

    async def work(signed: Client) -> str:
        pushed = await signed.push_workitem(entry.key[0], payload, name=called)
        return pushed.id

    id = with_client(chosen, work)
    pushed = {"queue": entry.key[0], "schedule": entry.schedule.name, "id": id}
    print_result(pushed, f"Pushed item {id} to {entry.key[0]}.", as_json=as_json)


async def _content(entry: ScheduleEntry, now: datetime) -> tuple[JsonObject, str]:
    try:
        return await entry.content(now)
    except Exception as error:  # a function of the user's makes it: it may raise anything
        raise CommandError(
            f"The payload of schedule {entry.name} cannot be made: {type(error).__name__}: {error}."
        ) from error


def _switch(name: str, given: Options, *, paused: bool, as_json: bool) -> None:
    async def work(client: Client, records: Records) -> Record:
        found = {record.key: record for record in await records.all()}
        record = found[_one(name, list(found), "that a worker has brought")]
        if record.paused != paused:
            rights = (await KnownQueues(client).of(record.queue)).acl
            await (records.pause if paused else records.resume)(record.key, rights)
        return (await records.read([record.key]))[record.key]

    record = _with_records(given, work)
    text = f"{'Paused' if paused else 'Resumed'} {'/'.join(record.key)}."
    print_result(_shown(record, datetime.now(UTC)), text, as_json=as_json)


def _with_records(given: Options, work: Callable[[Client, Records], Awaitable[T]]) -> T:
    chosen = settings_of(given).settings
    return with_client(chosen, lambda one: work(one, Records(one, chosen.namespace)))


def _one(name: str, keys: Sequence[ScheduleKey], where: str) -> ScheduleKey:
    """Return the schedule that is meant.

    Raises:
        CommandError: there is none, or there are several.
    """
    found = [key for key in keys if name in (key[1], "/".join(key))]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join("/".join(key) for key in found)
        raise usage_error(f"There are several schedules called {name}: {names}. Name one of them.")
    names = ", ".join(sorted("/".join(key) for key in keys)) or "none"
    raise CommandError(f"There is no schedule {name} {where}; there are: {names}.")


def _shown(record: Record, now: datetime) -> JsonObject:
    next_run = _next(record, now)
    return {
        "queue": record.queue,
        "name": record.name,
        "expression": record.expression,
        "tz": record.tz,
        "missed": record.missed,
        "state": _state(record),
        "since": iso(record.since),
        "last": None if record.last is None else iso(record.last),
        "next": None if next_run is None else iso(next_run),
    }


def _row(record: Record, now: datetime, *, utc: bool = False) -> tuple[Any, ...]:
    return (
        "/".join(record.key),
        record.expression,
        _state(record),
        _there(record, _next(record, now), utc=utc),
    )


def _more(record: Record, *, utc: bool = False) -> str:
    last = _there(record, record.last, utc=utc) if record.last else "never"
    missed = MISSED_ONES.get(record.missed, str(record.missed))
    return f"last {last}; zone {record.tz}; {missed}"


def _state(record: Record) -> str:
    return "paused" if record.paused else "active"


def _next(record: Record, now: datetime) -> datetime | None:
    """Return the next run; None while it is paused, or where this machine cannot tell."""
    if record.paused:
        return None
    try:
        return Cron(record.expression, record.tz).after(now)
    except (ValueError, LookupError):
        return None


def _there(record: Record, moment: datetime | None, *, utc: bool) -> str:
    """Return a moment as the schedule's own clock shows it, or in UTC."""
    if moment is None:
        return ""
    moment = moment.astimezone(UTC)
    with suppress(ValueError):  # another version's expression, or a zone that is not known here
        if not utc:
            moment = moment.astimezone(Cron(record.expression, record.tz).zone)
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"
