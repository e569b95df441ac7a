"""Taking over an item whose worker is gone: a retry that counts, with the evidence on it.

A crash counts as an attempt, so a poison item ends as failed by the queue's maxretries. One that
was in flight in several worker deaths ends as failed whatever the queue says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.engine.delivery.delivery import Delivered, Delivery
from worker.engine.delivery.writeback import WriteBack
from worker.engine.fleet.deaths import deaths_id, deaths_of
from worker.engine.fleet.presence import COLLECTION
from worker.item.outcome import Outcome
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import Told, id_of, ignored, moment_of, number, text_of
from worker.openiap.pool import Pool
from worker.openiap.upsert import upsert
from worker.openiap.values import iso
from worker.openiap.workitem import MOST_FILES, JsonObject, Workitem
from worker.telemetry.log import Log


@dataclass(frozen=True, slots=True)
class Orphan:
    """An attempt in ``processing`` that nobody works.

    Attributes:
        workitem: as far as it is known: id, queue, retries, lastrun.
        holder: the worker that had it, or "" where nobody claims it.
        how: how that worker ended, as far as known.
        died: whether a worker died with it, which counts towards ``max_deaths``.
        deaths: in how many deaths this worker's own records have it, this one included.
        over: other workers whose claims to close this run count no more: they began to, and died.
    """

    workitem: Workitem
    holder: str
    how: str
    died: bool
    deaths: int = 0
    over: tuple[str, ...] = ()


class TakeOver:
    """Puts orphans back, or ends them.

    Args:
        acl: who may see how many deaths an item was in; () is this user.
    """

    def __init__(
        self,
        pool: Pool,
        writeback: WriteBack,
        *,
        worker_id: str,
        max_deaths: int,
        log: Log,
        misfits: Told = ignored,
        acl: Callable[[], Sequence[JsonObject]] = tuple,
    ) -> None:
        self._pool = pool
        self._writeback = writeback
        self._worker_id = worker_id
        self._max_deaths = max_deaths
        self._log = log
        self._misfits = misfits
        self._acl = acl

    async def take(self, orphan: Orphan, *, patient: bool = True) -> Delivered:
        """Put one orphan back; the fence decides between several that try.

        Args:
            patient: whether a refusal of the server is waited out.
        """
        workitem = orphan.workitem
        deaths = await self._count_death(orphan) if orphan.died else 0
        outcome = await self._overfull(orphan) or outcome_of(
            orphan, deaths, self._max_deaths, self._worker_id
        )
        over = (*orphan.over, orphan.holder) if orphan.holder else orphan.over
        delivery = Delivery(workitem, outcome, over=over, patient=patient)
        delivered = await self._writeback.deliver(delivery)
        if delivered.result == "applied":
            self._log.warn(
                f"took over an item: {outcome.message}", item=workitem.id, queue=workitem.wiq
            )
        return delivered

    async def _overfull(self, orphan: Orphan) -> Outcome | None:
        """Return the end of an item that the official library cannot pop, or None.

        It fetches all files of an item within the pop: of very many the answer comes too late each
        time, and the item would hold up its queue at every attempt.
        """
        if orphan.holder:
            return None
        query = {"_id": orphan.workitem.id, f"files.{MOST_FILES}": {"$exists": True}}

        async def look(client: Client) -> bool:
            if client.capabilities.lazy_files:
                return False
            return bool(await client.query("workitems", query, {"_id": 1}, top=1))

        if not await self._pool.call(look):
            return None
        text = (
            f"the item names more than {MOST_FILES:,} files, which the official client fetches in"
            " the pop, and its answer did not come in time; work it with the native client, or put"
            f" the files into an archive (ended by {self._worker_id})"
        )
        return Outcome("failed", None, text)

    async def _count_death(self, orphan: Orphan) -> int:
        """Count one more death for the item; where that cannot be stored, own records tell."""
        workitem = orphan.workitem
        query = {"_id": deaths_id(workitem.id)}
        try:
            found = await self._pool.call(lambda client: client.query(COLLECTION, query, top=1))
            known = deaths_of(workitem.id, found[0] if found else None, self._misfits)
            deaths = known.and_(workitem.retries + 1, orphan.holder)
            document = deaths.document(workitem.wiq, datetime.now(UTC))
            await self._pool.call(
                lambda client: upsert(client, COLLECTION, document, acl=self._acl())
            )
        except OpenIAPError as error:
            self._log.debug(f"deaths not counted: {error}", item=workitem.id)
            return max(1, orphan.deaths)
        return max(len(deaths.attempts), orphan.deaths)


def outcome_of(orphan: Orphan, deaths: int, max_deaths: int, by: str) -> Outcome:
    """Return what an orphan ends as; pure.

    Args:
        deaths: in how many worker deaths it was in flight.
        by: the worker that takes it over.
    """
    since = orphan.workitem.lastrun
    when = f" since {iso(since)}" if since else ""
    if orphan.holder:
        text = f"worker {orphan.holder} had this item{when} and {orphan.how}"
    else:
        text = f"no living worker has this item, in processing{when}: {orphan.how}"
    if deaths >= max_deaths:
        return Outcome(
            "failed",
            None,
            f"{text}; it was in flight in {deaths} worker deaths, so it is not tried again"
            f" (ended by {by})",
        )
    return Outcome("application", None, f"{text}; put back by {by}")


def workitem_of(document: Mapping[str, Any]) -> Workitem:
    """Make the work item of a document that was read without its payload."""
    return Workitem(
        id=id_of(document),
        name=text_of(document.get("name")),
        payload=None,
        priority=number(document.get("priority")) or 2,
        lastrun=moment_of(document.get("lastrun")),
        state=text_of(document.get("state")),
        wiq=text_of(document.get("wiq")),
        wiqid=text_of(document.get("wiqid")),
        retries=number(document.get("retries")),
        username=text_of(document.get("username")),
    )
