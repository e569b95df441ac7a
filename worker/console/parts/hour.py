"""The last hour as two charts: attempts that ended, and how long items waited and ran."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.console.live.topics import Joined, Seen
from worker.console.parts.boxes import card
from worker.console.parts.charts import Chart, Series
from worker.console.parts.times import duration
from worker.console.visits import Visit
from worker.management.workers.types import HourResponse, QueueMinute

MINUTES: Final = 60


def hour_charts(visit: Visit, topic: Joined[HourResponse]) -> None:
    """Show two cards, each half as wide as the page: what ended, and how long it took."""
    with card("Attempts a minute, last hour (UTC)", "half"):
        ended = Chart("Attempts that ended in each minute of the last hour", "bar")
    with card("Wait and run times, last hour (UTC)", "half"):
        times = Chart("Median wait and run times in each minute of the last hour", "line", " s")

    def show(seen: Seen[HourResponse]) -> None:
        if seen.value is None:
            return
        hour = seen.value
        moments = _minutes(datetime.now(UTC))
        labels = [f"{one:%H:%M}" for one in moments]
        found = {one.at: one for one in hour.minutes}
        each = [found.get(one) for one in moments]
        ended.set(
            labels,
            [
                Series("done", "good", [0 if one is None else one.successful for one in each]),
                Series("retried", "wait", [0 if one is None else one.retried for one in each]),
                Series("failed", "bad", [0 if one is None else one.failed for one in each]),
            ],
            f"In the last hour {hour.successful:,} attempts were done, {hour.retried:,} are to be"
            f" retried and {hour.failed:,} failed.",
        )
        times.set(
            labels,
            [
                Series("wait", "wait", _values(each, "wait_median")),
                Series("run", "busy", _values(each, "run_median")),
                Series("run, 95 %", "bad", _values(each, "run_95")),
            ],
            f"In the last hour half of the items waited less than {duration(hour.wait_median)} and"
            f" ran less than {duration(hour.run_median)}; 95 % ran less than"
            f" {duration(hour.run_95)}.",
        )

    visit.look(topic, show)


def _minutes(now: datetime) -> list[datetime]:
    last = now.replace(second=0, microsecond=0)
    return [last - timedelta(minutes=ago) for ago in range(MINUTES - 1, -1, -1)]


def _values(minutes: Sequence[QueueMinute | None], name: str) -> list[float | None]:
    return [None if one is None else getattr(one, name) for one in minutes]
