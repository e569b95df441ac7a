"""Taking over an item whose worker is gone: back to new, with the evidence on it.

1. A worker's death costs an item no attempt: most often the worker was killed from outside, or by
   another of the items that were in flight. It is counted (``deaths.py``), and the item is marked.
   Where the worker may yet come back, the item gets a higher number, which keeps its late outcome
   out; ``delivery/given_back.py`` gives that attempt back.
2. An item that was in flight in several deaths comes back beside few others, then alone
   (``engine/isolation.py``): who was alone when its workers died is what kills them, and fails,
   whatever its queue says.
3. Where it cannot be found out, as with a foreign worker that tells nobody what it holds, deaths
   cost attempts in the end, so that nothing goes on for ever.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from worker.engine.delivery.delivery import Delivered, Delivery
from worker.engine.delivery.fence import run_at
from worker.engine.delivery.writeback import WriteBack
from worker.engine.fleet.deaths import Deaths, mark_of, read_deaths
from worker.engine.fleet.presence import COLLECTION
from worker.item.outcome import NOTHING_RAISED, Outcome
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import Told, id_of, ignored, moment_of, number, text_of
from worker.openiap.pool import Pool
from worker.openiap.upsert import upsert
from worker.openiap.workitem import MOST_FILES, JsonObject, Workitem
from worker.telemetry.log import Log

ALONE: Final = 2
"""Deaths in which an item was alone before it is what kills: the first may come from outside."""
UNKNOWN: Final = 2
"""Times ``max_deaths`` from which on deaths cost attempts."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """An attempt in ``processing`` that nobody works.

    Attributes:
        workitem: as far as it is known: id, queue, retries, lastrun.
        holder: the worker that had it, or "" where nobody claims it.
        how: how that worker ended, as far as known.
        died: whether a worker died with it.
        alone: whether nothing else was in flight there, for certain.
        gone: whether its process has ended for certain: nobody works this run any more.
        deaths: in how many deaths this worker's own records have it, this one included.
        over: other workers whose claims to close this run count no more: they began to, and died.
    """

    workitem: Workitem
    holder: str
    how: str
    died: bool
    alone: bool = False
    gone: bool = False
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

    async def take(
        self,
        orphan: Orphan,
        *,
        patient: bool = True,
        on_overdue: Callable[[], None] | None = None,
    ) -> Delivered:
        """Put one orphan back; the fence decides between several that try.

        Args:
            patient: whether a refusal of the server is waited out.
            on_overdue: called once it is refused.
        """
        workitem = orphan.workitem
        # One that nobody claims may have been in flight in a death that came before a heartbeat.
        counts = orphan.died or not orphan.holder
        deaths = await self._count_death(orphan) if counts else Deaths(workitem.id)
        outcome = await self._overfull(orphan) or outcome_of(
            orphan, deaths, self._max_deaths, self._worker_id
        )
        over = (*orphan.over, orphan.holder) if orphan.holder else orphan.over
        delivery = Delivery(
            workitem,
            outcome,
            over=over,
            raises=not orphan.gone,
            patient=patient,
            on_overdue=on_overdue,
            overdue_after=0.0,
            by=self._worker_id,
        )
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
        return Outcome("failed", None, text, NOTHING_RAISED)

    async def _count_death(self, orphan: Orphan) -> Deaths:
        """Count one more death for the item; where that cannot be stored, own records tell."""
        workitem, run = orphan.workitem, run_at(orphan.workitem.lastrun)
        try:
            known = await read_deaths(self._pool, workitem.id, self._misfits)
            deaths = known.and_(run, orphan.holder, alone=orphan.alone, raised=not orphan.gone)
            document = deaths.document(workitem.wiq, datetime.now(UTC))
            await self._pool.call(
                lambda client: upsert(client, COLLECTION, document, acl=self._acl())
            )
        except OpenIAPError as error:
            self._log.debug(f"deaths not counted: {error}", item=workitem.id)
            own = tuple(range(max(1, orphan.deaths)))
            return Deaths(workitem.id, own, own if orphan.alone else ())
        return deaths


def outcome_of(orphan: Orphan, deaths: Deaths, max_deaths: int, by: str) -> Outcome:
    """Return what an orphan ends as; pure.

    Args:
        deaths: those that it was in flight in, this one included.
        max_deaths: from how many on an item that was alone is failed.
        by: the worker that takes it over.
    """
    since = orphan.workitem.lastrun
    when = f" since {in_words(since)}" if since else ""
    if orphan.holder:
        text = f"worker {orphan.holder} had this item{when} and {orphan.how}"
    else:
        text = f"no living worker has this item, in processing{when}: {orphan.how}"
    total, alone = deaths.total, len(deaths.alone)
    if orphan.alone and total >= max_deaths and alone >= min(ALONE, max_deaths):
        return Outcome(
            "failed",
            None,
            f"{text}; it was in flight in {total} worker deaths and alone in {alone} of them, so it"
            f" is not tried again (ended by {by})",
            mark_of(total),
        )
    if total > UNKNOWN * max_deaths:
        text = f"{text}; it was in flight in {total} worker deaths, so each costs an attempt now"
        return Outcome("application", None, f"{text}; put back by {by}", mark_of(total))
    return Outcome("released", None, f"{text}; put back by {by}", mark_of(total))


def in_words(moment: datetime) -> str:
    """Return a moment for a text on an item: in whole seconds, since OpenIAP's conditional update
    takes a text for a date that has one with a fraction in it (``delivery/carried.py``)."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


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
