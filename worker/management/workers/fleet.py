"""What many views of workers are made of, asked once for all of them: their documents as they are
at a moment. What a user sees of them is decided by the queues that the user sees. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.engine.fleet.presence import is_gone
from worker.engine.fleet.report import Report, report_of
from worker.management.workers.hours import hour_of_all, hours_of_fleet
from worker.management.workers.types import HourResponse, WorkerDetailResponse
from worker.management.workers.views import detail_of, queues_of, without
from worker.openiap.workitem import JsonObject


@dataclass(frozen=True)
class Fleet:
    """Workers' documents, those that are gone included.

    Attributes:
        now: the server's time.
        dead_after: seconds of silence after which a worker counts as dead.
        sees_all: whether this user sees every queue.
    """

    documents: Sequence[JsonObject]
    now: datetime
    dead_after: float
    sees_all: bool

    @property
    def living(self) -> list[JsonObject]:
        """The documents of those that are not gone."""
        return [one for one in self.documents if not is_gone(one)]

    def workers(self, visible: Collection[str]) -> list[WorkerDetailResponse]:
        """Return all of them whole, by their ids.

        Args:
            visible: the names of the queues that this user sees.
        """
        found = [
            detail_of(report, document, self.now, self.dead_after)
            for report, document in self._reports(visible)
        ]
        return sorted(found, key=lambda one: one.id)

    def hour(self, visible: Collection[str], queue: str) -> HourResponse:
        """Return the last hour of a queue; nothing of one that this user does not see."""
        hours = hours_of_fleet([one for one, _ in self._reports(visible)], self.now)
        return hours.get(queue) or HourResponse(queue=queue)

    def hour_of_all(self, visible: Collection[str]) -> HourResponse:
        """Return the last hour of all their queues together; its queue is ""."""
        return hour_of_all([one for one, _ in self._reports(visible)], self.now)

    def _reports(self, visible: Collection[str]) -> list[tuple[Report, JsonObject]]:
        told = [(report_of(document, self.now), document) for document in self.documents]
        reports = [(report, document) for report, document in told if report is not None]
        hidden: set[str] = set()
        if not self.sees_all:
            hidden = queues_of(report for report, _ in reports) - set(visible)
        return [(without(report, hidden), document) for report, document in reports]
