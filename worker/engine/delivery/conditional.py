"""The write-back that cannot come late: an outcome in one conditional update.

1. The update meets its own run, or changes nothing, however long it was on its way: attempt and pop
   are part of its condition. So nothing is read before it, and nothing is marked.
2. Attachments are stored first and attached by that same update.
3. An item that goes on to another queue is decided by it; OpenIAP's own update, which alone runs a
   chain, follows, and says only what stands. Whoever finds a decided item left by a dead worker
   sends that update, and nothing else.
4. What matched nothing is looked at: lost, written before, or one whose document this user may not
   write. That, and what a conditional update would not carry unchanged, goes the other way.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal

from worker.engine.delivery.attachments import store_attachments
from worker.engine.delivery.carried import carried
from worker.engine.delivery.decided import Decided
from worker.engine.delivery.delivery import Delivered, Delivery
from worker.engine.delivery.document_rights import DocumentRights
from worker.engine.delivery.ending import (
    STEPS_STORED,
    Ending,
    Run,
    ending_of,
    release_of,
    with_steps_apart,
)
from worker.engine.delivery.fence import run_at, run_of
from worker.engine.delivery.given_back import gives_back
from worker.engine.delivery.owner import Owner
from worker.engine.delivery.queue_rules import QueueRulesReader, chained
from worker.engine.delivery.server_clock import ServerClock
from worker.engine.delivery.timeline import Timelines
from worker.engine.delivery.usual_ending import Texts, UsualEnding
from worker.item.outcome import Written
from worker.openiap.client import Client
from worker.openiap.connection import LinkLog
from worker.openiap.errors import AccessDenied, ServerError
from worker.openiap.fields import objects_of, text_of
from worker.openiap.large import LARGE, apart, is_large
from worker.openiap.pool import Pool
from worker.openiap.values import compact_text, json_text
from worker.openiap.workitem import FAILED, NEW, SUCCESSFUL, JsonObject

NO_RUN: Final = ("$expr", "$toDate")
"""What a database that cannot compare moments names in its refusal."""
NO_PLACE: Final = "Cannot create field"
"""How MongoDB refuses a mark inside of what is no object: somebody else's payload."""


class ConditionalWrite:
    """Writes outcomes back over the pool, for clients that have conditional updates.

    Args:
        rights: learns and tells which queues' items this user may not write as documents.
        now: what times of retries are reckoned from.
        time: the server's.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        worker_id: str,
        rights: DocumentRights,
        rules: QueueRulesReader,
        owner: Owner,
        decided: Decided,
        now: Callable[[], datetime],
        time: ServerClock,
        timelines: Timelines,
        log: LinkLog,
    ) -> None:
        self._pool = pool
        self._worker_id = worker_id
        self._rights = rights
        self._rules = rules
        self._owner = owner
        self._decided = decided
        self._now = now
        self._time = time
        self._timelines = timelines
        self._usual = UsualEnding(worker_id, timelines)
        self._log = log
        self._able: bool | None = None
        self._compares_runs = True

    async def write(
        self, delivery: Delivery, *, look: Callable[[Delivery], bool]
    ) -> Delivered | None:
        """Write one outcome back.

        Args:
            look: says whether another may have the item by now, so that files are not stored for
                nothing.

        Returns:
            How it ended; None where it has to go the other way, and nothing was written.

        Raises:
            OpenIAPError: the link broke, or the server refuses.
        """
        if self._able is None:
            self._able = await self._pool.call(_able)
        workitem, outcome = delivery.workitem, delivery.outcome
        if not self._able or delivery.unfit or self._rights.missing(workitem.wiq):
            return None
        if outcome.attachments and delivery.uploaded is None:
            if look(delivery):
                document = await self._owner.read(workitem.id)
                if document is None:
                    return None
                ended = await self._owner.concluded(delivery, document)
                if ended is not None:
                    return ended
            delivery.uploaded = await store_attachments(self._pool, workitem, outcome.attachments)
        run = Run(
            workitem,
            run_at(workitem.lastrun),
            self._worker_id,
            delivery.over,
            [file.filename for file in workitem.files],
        )
        if run.lastrun or not self._compares_runs:
            written = await self._attempt(delivery, run)
            if written is not False:
                return written
        document = await self._owner.read(workitem.id)
        if document is None:
            return None  # gone, or not readable for this user: the update itself will tell
        ended = await self._owner.concluded(delivery, document)
        if ended is not None:
            return ended
        return await self._write_again(delivery, run, document, delivery.outcome is not outcome)

    async def _write_again(
        self, delivery: Delivery, run: Run, document: JsonObject, cancelled: bool
    ) -> Delivered | None:
        """Write what has matched nothing although the run is ours, knowing the item now.

        Args:
            cancelled: whether it was found to be, so that the outcome is another now.
        """
        known = replace(
            run,
            lastrun=run_of(document),
            files=names_of(document.get("files")),
            chained=chained(document),
        )
        # All was as it had been taken to be: it is this user who may not.
        moved = (known.lastrun, known.files) != (run.lastrun, run.files)
        if cancelled or known.chained or moved:
            before = delivery.outcome
            written = await self._attempt(delivery, known)
            if written is not False:
                return written
            again = await self._owner.read(delivery.workitem.id)
            ended = None if again is None else await self._owner.concluded(delivery, again)
            if again is None or ended is not None or delivery.outcome is not before:
                return ended
        self._rights.note_missing(delivery.workitem.wiq)
        return None

    async def _attempt(self, delivery: Delivery, run: Run) -> Delivered | Literal[False] | None:
        """Write once; False where that matched nothing, None where it has to go the other way."""
        ending, texts = None, self._usual_texts(delivery, run)
        if texts is None:
            ending = await self._ending(delivery, run)
            texts = None if ending is None else await self._texts(delivery, ending)
            if texts is None:
                return None
        condition, change = texts
        try:
            result = await self._pool.call(
                lambda client: delivery.timed(
                    client.update_document("workitems", condition, change)
                ),
                turn="first",
            )
        except AccessDenied as error:
            self._rights.note_missing(delivery.workitem.wiq, error.text)
            return None
        except ServerError as error:
            if self._timelines.refused(delivery, error.text):
                return await self._attempt(delivery, run)
            if NO_PLACE in error.text:
                delivery.unfit = True
                return None
            if any(name in error.text for name in NO_RUN):
                self._compares_runs = False
            else:
                delivery.unfit = True  # the next try goes the other way
            raise
        if result.matched != 1:
            return False
        if ending is None:
            return Delivered("applied", state=SUCCESSFUL, took=delivery.took)
        return await self._end(delivery, ending)

    def _usual_texts(self, delivery: Delivery, run: Run) -> Texts | None:
        """Return what is to be sent where that is known without more ado; None else."""
        if not self._compares_runs or run.chained is not None:
            return None
        rules = self._rules.known(delivery.workitem)
        return None if rules is None else self._usual.of(delivery, run.lastrun, rules)

    async def _ending(self, delivery: Delivery, run: Run) -> Ending | None:
        """Return what is to be written; None where it has to go the other way."""
        if not self._compares_runs:
            run = replace(run, lastrun=0)
        outcome, workitem = delivery.outcome, delivery.workitem
        if outcome.kind == "released":
            there = self._time.by_heartbeat()
            return release_of(run, outcome, there, raises=delivery.raises)
        rules = await self._rules.of(workitem)
        if rules is None:
            return None
        if outcome.kind == "application" and await gives_back(
            self._pool, workitem, rules.maxretries
        ):
            rules = replace(rules, maxretries=workitem.retries + 2)
        now = self._now()
        delay = timedelta(seconds=rules.retrydelay)
        if outcome.retry_at is not None:
            delay = outcome.retry_at - now
        there = self._time.now(delivery, workitem.lastrun) or now
        ending = ending_of(
            run, outcome, rules, due=there + delay, at=now + delay, files=delivery.uploaded or ()
        )
        if ending is None or not ending.decided or ending.state != FAILED:
            return ending
        if outcome.payload is not None or workitem.text:  # what has steps is no text any more
            return ending
        document = await self._owner.read(workitem.id, STEPS_STORED)
        return ending if document is None else with_steps_apart(ending, workitem.id, document)

    async def _texts(self, delivery: Delivery, ending: Ending) -> Texts | None:
        """Return a conditional update as text; None where it would not arrive as it is."""
        written = delivery.outcome.written
        change = self._timelines.in_change(delivery, ending)
        # All but a payload is clipped.
        large = len(written.text) > LARGE if written else is_large(delivery.outcome.payload)
        text = await apart(large, _text_of, change, written)
        if not text:
            delivery.unfit = True
            return None
        return Texts(compact_text(ending.condition) or json_text(ending.condition), text)

    async def _end(self, delivery: Delivery, ending: Ending) -> Delivered:
        if ending.decided:
            delivery.sent = True
            return await self._decided.send(delivery.workitem, ending.state)
        waits = delivery.outcome.waits
        if waits is not None:
            return Delivered("applied", state=NEW, nextrun=waits.until, parked=True)
        return Delivered("applied", state=ending.state, nextrun=ending.at, took=delivery.took)


def _text_of(change: JsonObject, written: Written | None) -> str:
    """Return a change as it is sent, or "" where it would not arrive as it is.

    Args:
        written: the payload that is to be written with it, as text.
    """
    fields = change.get("$set", {})
    if "payload" not in fields:
        text = compact_text(change) or json_text(change)
    elif written is None or fields["payload"] is not written.payload:
        text = json_text(change)
    else:
        others = {name: value for name, value in fields.items() if name != "payload"}
        rest = {name: value for name, value in change.items() if name != "$set"}
        first = _with(compact_text(others) or json_text(others), "payload", written.text)
        text = _with(compact_text(rest) or json_text(rest), "$set", first)
    return text if carried(text) else ""


def _with(text: str, name: str, value: str) -> str:
    """Return the text of an object with one more field, itself given as text."""
    return f'{{"{name}":{value}{"" if text == "{}" else ","}{text[1:]}'


def names_of(files: object) -> list[str] | None:
    """Return the names of an item's files; None where it has no list of them."""
    if not isinstance(files, list):
        return None
    return [text_of(one.get("name")) for one in objects_of(files)]


async def _able(client: Client) -> bool:
    return client.capabilities.conditional_updates
