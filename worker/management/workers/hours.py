"""The last hour of a fleet, of what each of its workers told of its own. Pure.

A worker's minutes end when its heartbeat was stamped; those of several are laid over each other by
the server's clock, to the minute.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.engine.fleet.report import Report
from worker.management.workers.types import MOST_MINUTES, HourResponse, QueueMinute
from worker.telemetry.minutes import Minute, quantile

MINUTE: Final = timedelta(minutes=1)
MEDIAN: Final = 0.5
NEARLY_ALL: Final = 0.95


def hours_of_fleet(reports: Iterable[Report], now: datetime) -> dict[str, HourResponse]:
    """Return the last hour of each queue, by its name.

    Args:
        reports: of workers that live or are gone (``worker.engine.fleet.report.report_of``).
        now: the server's time.
    """
    return {name: _hour(name, minutes) for name, minutes in sorted(_laid(reports, now).items())}


def hour_of_all(reports: Iterable[Report], now: datetime) -> HourResponse:
    """Return the last hour of all queues together, under the name ""; see ``hours_of_fleet``."""
    all_: dict[datetime, Minute] = {}
    for minutes in _laid(reports, now).values():
        for at, minute in minutes.items():
            all_.setdefault(at, Minute()).add(minute)
    return _hour("", all_)


def _laid(reports: Iterable[Report], now: datetime) -> dict[str, dict[datetime, Minute]]:
    """Return the minutes of each queue, those of several workers laid over each other."""
    first = _begin(now) - MOST_MINUTES * MINUTE
    queues: dict[str, dict[datetime, Minute]] = defaultdict(dict)
    for report in reports:
        if report.newest is None:
            continue
        for queue in report.queues:
            for ago, minute in enumerate(queue.hour):
                at = _begin(report.newest) - ago * MINUTE
                if minute is not None and first < at <= now:
                    queues[queue.name].setdefault(at, Minute()).add(minute)
    return queues


def _hour(name: str, minutes: dict[datetime, Minute]) -> HourResponse:
    whole = Minute()
    for minute in minutes.values():
        whole.add(minute)
    return HourResponse(
        queue=name,
        successful=whole.successful,
        failed=whole.failed,
        retried=whole.retried,
        released=whole.released,
        per_minute=round(whole.ended / MOST_MINUTES, 3),
        wait_median=_rounded(quantile(whole.wait, MEDIAN)),
        wait_95=_rounded(quantile(whole.wait, NEARLY_ALL)),
        run_median=_rounded(quantile(whole.run, MEDIAN)),
        run_95=_rounded(quantile(whole.run, NEARLY_ALL)),
        minutes=[
            QueueMinute(
                at=at,
                successful=one.successful,
                failed=one.failed,
                retried=one.retried,
                released=one.released,
                wait_median=_rounded(quantile(one.wait, MEDIAN)),
                wait_95=_rounded(quantile(one.wait, NEARLY_ALL)),
                run_median=_rounded(quantile(one.run, MEDIAN)),
                run_95=_rounded(quantile(one.run, NEARLY_ALL)),
            )
            for at, one in sorted(minutes.items())
        ],
    )


def _begin(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds:.3g}")
