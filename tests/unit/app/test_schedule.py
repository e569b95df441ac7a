"""Declaring schedules: what is taken, and the exact sentence for what is not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from worker import Router, handler, schedule
from worker.app.application import Application
from worker.app.cron import ALLOWED
from worker.app.registry import Registry
from worker.engine.scheduler.timetable import ScheduleEntry, timetable
from worker.errors import HandlerError

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Report(BaseModel):
    kind: str


def entries(*declarations: object) -> list[ScheduleEntry]:
    return timetable(Registry(Application.of(*declarations)), NOW)


async def test_payloads_are_values_or_functions_with_or_without_the_tick() -> None:
    async def later() -> Report:
        return Report(kind="later")

    @schedule("0 1 * * *", name="model", payload=Report(kind="model"))
    @schedule("0 2 * * *", name="dict", payload={"kind": "dict"})
    @schedule(
        "0 3 * * *", name="told", payload=lambda tick: {"kind": f"{tick:%H:%M %Z}"}, tz="Asia/Tokyo"
    )
    @schedule("0 4 * * *", name="made", payload=later)
    @handler("reports")
    async def report(payload: Report) -> None: ...

    tick = datetime(2026, 5, 4, 18, tzinfo=UTC)
    found = {entry.schedule.name: (await entry.content(tick))[0] for entry in entries(report)}
    assert found == {
        "model": {"kind": "model"},
        "dict": {"kind": "dict"},
        "told": {"kind": "03:00 JST"},
        "made": {"kind": "later"},
    }


def test_a_schedule_is_named_after_the_function_and_goes_along_into_routers() -> None:
    router = Router(prefix="eu-")

    @schedule("0 6 * * *")
    @router.handler("reports")
    async def daily(payload: dict[str, Any]) -> None: ...

    (entry,) = entries(router)
    assert (entry.name, entry.next - NOW) == ("eu-reports/daily", timedelta(hours=18))
    assert [e.name for e in timetable(Registry([daily]).moved("other"), NOW)] == ["other/daily"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("0 0 30 2 *",), "schedule '0 0 30 2 *' never fires: no month has such a day."),
        (
            ("every day",),
            "schedule 'every day' is no cron expression (wrong number of fields); allowed:"
            f" {ALLOWED}.",
        ),
        (
            ("* * * * *", {"tz": "Mars/Base"}),
            "schedule tz = 'Mars/Base' is not a known time zone; allowed: names like"
            " 'Europe/Copenhagen', or 'UTC'.",
        ),
        (("* * * * *", {"missed": "some"}), "schedule missed = 'some'; allowed: last, skip, all."),
        (
            ("* * * * *", {"name": "a/b"}),
            "schedule name = 'a/b'; allowed: up to 100 characters, without /.",
        ),
        (
            ("* * * * *", {"name": "work"}),
            "two schedules are called work; give one a name of its own.",
        ),
        (
            ("* * * * *",),
            None,
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple[Any, ...], message: str | None) -> None:
    @schedule("0 0 * * *")
    @handler("q")
    async def work(payload: dict[str, Any]) -> None: ...

    def two(first: int, second: int) -> dict[str, Any]:
        return {}

    expression, *more = arguments
    options = dict(more[0]) if more else {}
    if message is None:
        options["payload"] = two
        message = (
            "schedule payload = test_what_cannot_be_is_refused.two; allowed: one without"
            " parameters, or with one for the tick's moment."
        )
    with pytest.raises(HandlerError) as refused:
        schedule(expression, **{"name": "n", **options})(work)
    who = "test_what_cannot_be_is_refused.work"
    assert str(refused.value) == f"Handler {who}: {message}"


def test_it_stands_above_the_handler() -> None:
    async def work(payload: dict[str, Any]) -> None: ...

    with pytest.raises(HandlerError, match=r"work: @schedule stands above @handler\(QUEUE\)\.$"):
        schedule("* * * * *")(work)  # type: ignore[type-var]


def test_a_payload_that_does_not_fit_keeps_the_worker_from_starting() -> None:
    @schedule("0 0 * * *")
    @handler("reports")
    async def report(payload: Report) -> None: ...

    with pytest.raises(HandlerError) as refused:
        entries(report)
    assert str(refused.value) == (
        f"Handler {report.name}: schedule report: The payload does not fit {report.name}:"
        " kind: Field required."
    )


def test_a_handler_that_needs_files_has_no_schedule() -> None:
    @schedule("0 0 * * *")
    @handler("scans", files=["*.pdf"])
    async def scan(payload: dict[str, Any]) -> None: ...

    with pytest.raises(HandlerError, match=r"needs a file \*\.pdf; the item has: none\.$"):
        entries(scan)


async def kept(payload: dict[str, Any]) -> None:
    """Work something that is kept for a while."""


NO_DURATION = "is not a duration: seconds, or text like 250ms, 90s, 5m, 1h30m, 2d"


@pytest.mark.parametrize("option", ["keep", "keep_failed"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        (-5, f" = -5 {NO_DURATION}, not negative."),
        ("-30d", f" = '-30d' {NO_DURATION}."),
        (0, " = 0; allowed: more than 0, or None."),
    ],
)
def test_a_retention_of_nothing_or_less_is_refused(option: str, value: Any, why: str) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(HandlerError) as refused:
        handler("q", **options)(kept)
    assert str(refused.value) == f"Handler kept: {option}{why}"
