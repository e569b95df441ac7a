"""The runner: works one popped item from pop to accepted outcome.

1. The pop is on disk before the handler starts.
2. The payload is validated; an invalid one is a business error and the handler is not called.
3. The handler runs under its limits; whatever it does becomes an outcome.
4. The outcome is on disk before it is sent.
5. It is sent until the server has it.

A handler with keys or rates has a gate: before 3 it says whether the item may run now, and after 5
it is told that the item's turn is over.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from worker.app.middleware_chain import Around, around_of
from worker.app.payload import missing_file
from worker.app.registry import Registered
from worker.engine.concurrency.gate import Admission, Gate
from worker.engine.delivery.writeback import Delivered, Delivery, WriteBack, succeeded
from worker.engine.equipment import Equipment
from worker.engine.execution import Call, Executor
from worker.engine.execution.evidence import EvidenceLog, Facts, with_evidence
from worker.engine.in_flight import DurationEstimate, Running
from worker.engine.item_events import teller_of
from worker.engine.outbox.outbox import Outbox
from worker.engine.outbox.spool import Spool, SpooledFiles
from worker.item.context import current_namespace
from worker.item.item import Item, ItemDesk
from worker.item.metadata import KEY, Marks, after_success, joined, taken_out
from worker.item.outcome import Outcome, failure, invalid_payload, released, success, with_facts
from worker.openiap.client import Client
from worker.openiap.pool import Pool
from worker.openiap.workitem import FAILED, WorkitemFile
from worker.producer.prepare import StandInDesk
from worker.telemetry.counts import Counts
from worker.telemetry.log import Log

NOTHING: Final = Equipment()
STOPPED = "worker stopped"
DOWNLOAD_TIMEOUT = 3600.0
"""Seconds; a link that dies meanwhile is noticed long before."""


class Runner:
    """Runs the items of one handler."""

    def __init__(
        self,
        registered: Registered,
        executor: Executor,
        *,
        pool: Pool,
        writeback: WriteBack,
        outbox: Outbox | None,
        spool: Spool,
        client: Client,
        resources: Mapping[Any, Any],
        counts: Counts,
        log: Log,
        chance: random.Random,
        equipment: Equipment = NOTHING,
        gate: Gate | None = None,
    ) -> None:
        self._registered = registered
        self._options = registered.handler.options
        self._executor = executor
        self._pool = pool
        self._writeback = writeback
        self._outbox = outbox
        self._spool = spool
        self._client = client
        self._resources = resources
        self._counts = counts
        self._log = log
        self._chance = chance
        self._equipment = equipment
        self._gate = gate
        self._desk: ItemDesk = equipment.desk or StandInDesk()
        self._around = around_of(
            registered.handler,
            registered.signature,
            worker=equipment.middleware,
            lifespans=equipment.lifespans,
        )
        self._teller = teller_of(self._options, equipment.events)
        self.durations = DurationEstimate()
        self.maxretries: int | None = None
        """The queue's, once known; for ``item.attempts_left``."""

    async def work(self, running: Running) -> Delivered:
        """Work one item; ends early only by cancellation outside of the handler."""
        workitem = running.workitem
        if self._outbox is not None:
            await self._outbox.popped(workitem, running.popped_at)
        files = SpooledFiles(self._spool, workitem, self._download, self._file_size)
        try:
            try:
                outcome = await self._handle(running, files)
            except Exception as error:  # a payload model's own code may raise anything
                outcome = self._failed(running, error)
            if running.item is not None and running.item.marked:
                outcome = await self._with_marks(running.item, outcome)
            if running.error is not None and self._options.evidence:
                outcome = await with_evidence(running.error, outcome, self._facts(running), files)
            delivered = await self.deliver(running, outcome)
            if self._gate is not None and running.admission is not None:
                await self._gate.left(running.admission, outcome, delivered)
            return delivered
        finally:
            if self._gate is not None and running.admission is not None:
                self._gate.forget(running.admission)
            files.discard_inputs()

    async def hand_back(self, running: Running) -> Delivered:
        """Give an item back that was popped although the worker is stopping."""
        if self._outbox is not None:
            await self._outbox.popped(running.workitem, running.popped_at)
        return await self.deliver(running, released(STOPPED))

    async def deliver(self, running: Running, outcome: Outcome) -> Delivered:
        """Record an outcome and send it until it is accepted or refused for good."""
        running.stage = "delivering"
        workitem = running.workitem
        if self._outbox is not None:
            await self._outbox.finished(workitem.id, workitem.retries, outcome)
        delivery = Delivery(
            workitem, outcome, running.popped, running.epoch, on_overdue=running.become_overdue
        )
        delivered = await self._writeback.deliver(delivery)
        if outcome.pushes:
            delivered = await self._followed(delivery, delivered)
        self._settle(running, delivery, delivered)
        if self._teller is not None:
            error, running.error = running.error, None
            took = time.monotonic() - running.popped
            await self._teller.tell(
                workitem, running.item, error, took, delivery.outcome, delivered
            )
        return delivered

    async def _followed(self, delivery: Delivery, delivered: Delivered) -> Delivered:
        """Push what a succeeded item asked for, before its row leaves the outbox."""
        followups = self._equipment.followups
        if followups is None or not succeeded(delivery.outcome, delivered):
            return delivered
        return replace(delivered, unpushed=await followups.deliver(delivery.outcome.pushes))

    def _settle(self, running: Running, delivery: Delivery, delivered: Delivered) -> None:
        workitem, outcome = running.workitem, delivery.outcome
        if self._outbox is not None:
            if delivered.result == "applied" and not delivered.unpushed:
                self._outbox.delivered(workitem.id, workitem.retries)
            else:
                reason = delivered.unpushed or delivered.reason
                self._outbox.refused(workitem.id, workitem.retries, reason)
        if outcome.attachments:
            self._spool.discard_outputs(workitem.id, workitem.retries)
        took = time.monotonic() - running.popped
        # An application error ends as failed when the queue's attempts are used up.
        ended = outcome.kind == "application" and delivered.state == FAILED
        kind = "failed" if ended else outcome.kind
        if outcome.waits is not None and delivered.result == "applied":
            self._counts.parked(workitem.wiq)
        else:
            self._counts.finished(workitem.wiq, kind, delivered.result, took)
        if delivered.result == "gone":
            self._log.warn(
                "the item is gone; its outcome has nowhere to go",
                item=workitem.id,
                queue=workitem.wiq,
                outcome=outcome.kind,
            )

    async def _handle(self, running: Running, files: SpooledFiles) -> Outcome:
        """Validate, run, and turn whatever happens into an outcome."""
        workitem, name = running.workitem, self._registered.name
        if workitem.payload is None:
            workitem.payload = {}
        marks = None
        if KEY in workitem.payload:
            workitem.payload, marks = taken_out(workitem.payload)
            if marks.namespace:
                current_namespace.set(marks.namespace)
        if self._options.files:
            lacking = missing_file(self._options.files, [f.filename for f in workitem.files])
            if lacking:
                return Outcome("business", None, f"Item of {name} has no file {lacking}")
        try:
            payload = self._registered.signature.payload_for(workitem.payload)
        except ValidationError as error:
            outcome = invalid_payload(error, handler=name)
            self._log.info(outcome.message, item=workitem.id, queue=workitem.wiq)
            return outcome
        if self._gate is not None:
            refused = await self._admitted(self._gate, running, payload)
            if refused is not None:
                return refused
        item = self._item(running, files, marks)
        running.item = item
        call = Call(self._registered, item, payload, self._client, self._resources)
        running.stage = "handling"
        running.on_loop = self._options.execution == "async"
        began = time.monotonic()
        try:
            if self._around is None:
                result = await self._executor.run(call)
            else:
                result = await self._surrounded(self._around, call)
        except asyncio.CancelledError as error:
            running.stage = "delivering"
            if running.interrupted:
                _forget_cancellations(running.task)
                return released(STOPPED)
            if running.task is not None and running.task.cancelling():
                raise  # the worker gives up on this item: its outbox row stays
            return self._failed(running, error)
        except Exception as error:
            return self._failed(running, error)
        finally:
            running.stage = "delivering"
        self.durations.add(time.monotonic() - began)
        outcome = success(workitem.payload, result, handler=name)
        if outcome.kind != "successful":
            self._log.warn(outcome.message, item=workitem.id, queue=workitem.wiq)
        if outcome.kind == "successful" and (item.attachments or item.pushes):
            attachments = tuple((a.name, str(a.path)) for a in item.attachments)
            outcome = replace(outcome, attachments=attachments, pushes=item.pushes)
        return outcome

    async def _admitted(self, gate: Gate, running: Running, payload: Any) -> Outcome | None:
        """Ask the gate; a worker that stops meanwhile hands the item back."""
        running.stage = "admitting"
        running.admission = Admission()
        try:
            return await gate.admit(running.admission, running.workitem, payload, running.interrupt)
        except asyncio.CancelledError:
            if not running.interrupted:
                raise
            _forget_cancellations(running.task)
            return released(STOPPED)
        finally:
            running.stage = "preparing"

    async def _surrounded(self, around: Around, call: Call) -> Any:
        """Run the handler inside its middleware; one that swallows its exception gives None."""
        async with AsyncExitStack() as stack:
            call.resources = await around.enter(stack, call.item, call.client, call.resources)
            return await self._executor.run(call)
        return None

    async def _with_marks(self, item: Item, outcome: Outcome) -> Outcome:
        """Return an outcome that keeps progress and checkpoint for the next attempt, or drops
        them where there is none."""
        if self._equipment.desk is not None:
            await self._equipment.desk.ended(item, write=outcome.kind == "released")
        if outcome.kind == "released":
            return outcome
        if outcome.kind == "successful":
            payload = item.payload if outcome.payload is None else outcome.payload
            return replace(outcome, payload=after_success(payload, item.marks))
        return replace(outcome, payload=joined(item.payload, item.marks))

    def _facts(self, running: Running) -> Facts:
        return Facts(
            self._registered.name,
            self._equipment.worker_id,
            running.workitem,
            running.item,
            time.monotonic() - running.popped,
        )

    def _failed(self, running: Running, error: BaseException) -> Outcome:
        workitem = running.workitem
        outcome = failure(
            error,
            attempt=workitem.retries + 1,
            policy=self._options.retry,
            now=datetime.now(UTC),
            chance=self._chance,
        )
        if outcome.kind != "successful":
            if self._teller is not None or self._options.evidence:
                running.error = error
            outcome = with_facts(
                outcome,
                error,
                worker=self._equipment.worker_id,
                attempt=workitem.retries + 1,
                seconds=time.monotonic() - running.popped,
            )
            self._log.info(
                f"{outcome.kind} error: {outcome.message}",
                item=workitem.id,
                queue=workitem.wiq,
                attempt=workitem.retries + 1,
            )
        return outcome

    def _item(self, running: Running, files: SpooledFiles, marks: Marks | None) -> Item:
        deadline = None
        if self._options.timeout is not None:
            deadline = running.popped_at + timedelta(seconds=self._options.timeout)
        workitem = running.workitem
        log = self._log.bind(item=workitem.id, queue=workitem.wiq)
        return Item(
            workitem,
            files=files,
            log=EvidenceLog(log) if self._options.evidence else log,
            started=running.popped_at,
            deadline=deadline,
            maxretries=self.maxretries,
            marks=marks,
            desk=self._desk,
        )

    async def _download(self, file: WorkitemFile, folder: Any) -> Any:
        return await self._pool.call(
            lambda client: client.download(
                file.id, folder, file.filename, timeout=DOWNLOAD_TIMEOUT
            ),
            turn="first",
        )

    async def _file_size(self, file_id: str) -> int:
        found = await self._pool.call(
            lambda client: client.query("fs.files", {"_id": file_id}, {"length": 1}, top=1)
        )
        return int(found[0].get("length", 0)) if found else 0


def _forget_cancellations(task: "asyncio.Task[Delivered] | None") -> None:
    """The interrupt was meant for the handler alone; the delivery after it goes on."""
    while task is not None and task.cancelling():
        task.uncancel()
