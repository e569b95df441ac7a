"""The runner: works one popped item from pop to accepted outcome.

1. The pop is on disk before anything else.
2. Admit: whether the handler is called now, and with what (``intake.py``). Who is refused goes
   straight to 5.
3. Prepare: the item that the handler is given is made.
4. Run: the handler runs under its limits; whatever it does becomes an outcome.
5. The outcome is completed (``completer.py``), and the gate is told that the item's turn is over.

One that the worker could not serve is handed back (``faults.py``), and its queue rests until it can
(``shortages.py``).
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from worker.app.middleware_chain import MiddlewareChain, chain_of
from worker.app.registry import Registered
from worker.engine.concurrency.gate import Gate
from worker.engine.delivery.delivery import Delivered
from worker.engine.execution import Executor, HandlerCall
from worker.engine.execution.evidence import AttemptFacts, EvidenceLog, with_evidence
from worker.engine.failures import Failures
from worker.engine.in_flight import DurationEstimate, Running
from worker.engine.intake import STOPPED, Intake, Refused
from worker.engine.item_events import item_events_of
from worker.engine.outbox.spool import SpooledFiles
from worker.engine.stored_files import StoredFiles
from worker.engine.worker_services import HandlerInputs, WorkerServices
from worker.item.cancelled import cancelled_error
from worker.item.context import current_worker
from worker.item.in_memory_store import InMemoryStore
from worker.item.item import Item, ItemStore
from worker.item.long_work import Asleep
from worker.item.metadata import Metadata, after_success, joined
from worker.item.outcome import (
    UNCHANGED,
    Outcome,
    released,
    sleeping,
    with_attempt,
)
from worker.item.result import success
from worker.openiap.large import apart, is_large
from worker.standard_streams import mend_standard_streams
from worker.telemetry.printed import rest_of
from worker.uptime import uptime

T = TypeVar("T")

FOR_GOOD: Final = ("business", "failed")
"""Kinds of outcomes after which an item comes again only by hand."""


class Runner:
    """Runs the items of one handler.

    Attributes:
        durations: how long the handler takes.
        maxretries: the queue's, once known; for ``item.attempts_left``.
    """

    def __init__(
        self,
        registered: Registered,
        executor: Executor,
        *,
        inputs: HandlerInputs,
        services: WorkerServices,
        gate: Gate | None = None,
    ) -> None:
        self.executor: Final = executor
        self.gate: Final = gate
        self.durations: Final = DurationEstimate()
        self.maxretries: int | None = None
        self._registered = registered
        self._name = registered.name
        self._options = registered.handler.options
        self._on_loop = self._options.execution == "async"
        self._inputs = inputs
        self._store: ItemStore = inputs.checkpoints or InMemoryStore()
        self._chain = chain_of(
            registered.handler,
            registered.signature,
            worker=inputs.middleware,
            lifespans=inputs.lifespans,
        )
        self._worker_id = services.worker_id
        self._stored = StoredFiles(services.pool)
        self._completer = services.completer
        self._outbox = services.completer.outbox
        self._spool = services.completer.spool
        self._log = services.log
        self._events = item_events_of(self._options, services.events)
        self._intake = Intake(registered, gate=gate, services=services)
        self._shortages = services.shortages
        self._breakers = services.breakers
        self._closed = services.closed
        self._failures = Failures(
            self._options,
            worker_id=services.worker_id,
            pool=services.pool,
            spool=services.completer.spool,
            shortages=services.shortages,
            breakers=services.breakers,
            log=services.log,
            chance=services.chance,
            now=services.now,
            keep=self._events is not None or self._options.evidence,
        )

    async def work(self, running: Running) -> Delivered:
        """Work one item; ends early only by cancellation outside of the handler."""
        workitem = running.workitem
        if self._outbox is not None:
            await self._outbox.popped(workitem, running.popped_at)
        files = SpooledFiles(self._spool, workitem, self._stored.fetch, self._stored.size)
        try:
            try:
                payload, metadata = await self._intake.admit(running)
                call = self._prepare(running, payload, metadata, files)
                payload = None
                outcome = await self._run(running, call, files)
            except Refused as refused:
                outcome = refused.outcome
            except Exception as error:  # a payload model's own code may raise anything
                outcome = self._failures.outcome(running, error)
            if running.item is not None and running.item.has_metadata:
                outcome = await self._with_metadata(running.item, outcome)
            if running.error is not None and self._options.evidence:
                took = uptime() - running.popped
                facts = AttemptFacts(self._name, self._worker_id, workitem, running.item, took)
                outcome = await with_evidence(running.error, outcome, facts, files)
            outcome = with_attempt(
                outcome,
                worker=self._worker_id,
                attempt=workitem.retries + 1,
                seconds=uptime() - running.popped,
            )
            delivered = await self._completer.complete(running, outcome, self._events)
            if self.gate is not None and running.admission is not None:
                await self.gate.left(running.admission, outcome, delivered)
            return delivered
        finally:
            self._intake.left(running)
            files.discard_inputs()

    async def hand_back(self, running: Running) -> Delivered:
        """Give an item back that was popped although the worker stops, or its queue is closed."""
        if self._outbox is not None:
            await self._outbox.popped(running.workitem, running.popped_at)
        why = self._closed(running.workitem.wiq) or STOPPED
        return await self._completer.complete(running, released(why), self._events)

    # Prepare.

    def _prepare(
        self, running: Running, payload: Any, metadata: Metadata | None, files: SpooledFiles
    ) -> HandlerCall:
        """Make the item that the handler is given, and its call."""
        workitem, deadline = running.workitem, None
        if self._options.timeout is not None:
            deadline = running.popped_at + timedelta(seconds=self._options.timeout)
        log = self._log.bind(item=workitem.id, queue=workitem.wiq)
        trace = None if running.span is None else running.span.trace
        if trace is not None:
            # What has no trace yet gets one here, and keeps it in later attempts.
            metadata = metadata or Metadata()
            metadata.trace = metadata.trace or trace
        item = running.item = Item(
            workitem,
            files=files,
            log=EvidenceLog(log) if self._options.evidence else log,
            started=running.popped_at,
            deadline=deadline,
            maxretries=self.maxretries,
            metadata=metadata,
            store=self._store,
            handler=self._name,
            trace=trace,
        )
        inputs = self._inputs
        return HandlerCall(self._registered, item, payload, inputs.client, inputs.resources)

    # Run.

    async def _run(self, running: Running, call: HandlerCall, files: SpooledFiles) -> Outcome:
        """Run the handler and turn whatever happens into an outcome."""
        running.stage = "handling"
        current_worker.set(self._worker_id)
        running.on_loop = self._on_loop
        began = time.monotonic()
        try:
            if self._chain is None:
                result = await self._called(call)
            else:
                result = await self._run_in_chain(self._chain, call)
        except Asleep as asleep:
            if running.interrupted:
                running.forget_cancellations()
            self._drop_attachments(call.item)
            if running.cancelled:
                return self._failures.outcome(running, cancelled_error(running.cancelled))
            return sleeping(asleep.until, call.item.awaited)
        except asyncio.CancelledError as error:
            if running.interrupted:
                running.forget_cancellations()
                self._drop_attachments(call.item)
                return released(STOPPED)
            if running.task is not None and running.task.cancelling():
                raise  # the worker gives up on this item: its outbox row stays
            self._drop_attachments(call.item)
            return self._failures.outcome(running, error)
        except Exception as error:  # whatever a handler raises is its item's end
            running.stage = "delivering"
            self._drop_attachments(call.item)
            return await self._raised(running, call.item, error, files)
        finally:
            running.stage = "delivering"
            running.ran = time.monotonic() - began
            call.payload = None  # a delivery may last for long, and needs it no more
            rest_of(call.item.id)
            mend_standard_streams()
        if self._shortages is not None:
            self._shortages.done(running.workitem.id)
        if self._breakers is not None:
            self._breakers.answered(running)
        self.durations.add(running.ran)
        return await self._returned(running, call.item, result)

    async def _raised(
        self, running: Running, item: Item, error: Exception, files: SpooledFiles
    ) -> Outcome:
        """Make the outcome of what the handler raised."""
        if running.cancelled:
            cancelled = cancelled_error(running.cancelled, error)
            item.fails_for(cancelled)
            return self._failures.outcome(running, cancelled)
        outcome = await self._failures.weighed(running, error, files)
        is_last = outcome.kind == "application" and item.attempts_left == 0
        if is_last or outcome.kind in FOR_GOOD:
            item.fails_for(error)
        return outcome

    async def _returned(self, running: Running, item: Item, result: Any) -> Outcome:
        """Make the outcome of what the handler returned."""
        workitem = running.workitem
        changed = item.payload_shown or self._registered.signature.shares_payload
        # A child has put it under its field already.
        wrap = self._registered.signature.wraps and self._options.execution != "process"
        if not self._options.store:
            result, wrap = None, False
        if result is None and workitem.text and not changed and not wrap:
            outcome = UNCHANGED
        else:
            running.large = running.large or is_large(result)
            outcome = await apart(
                running.large,
                success,
                workitem.payload or {},
                result,
                handler=self._name,
                stored=workitem.text,
                untouched=not changed,
                wrap=wrap,
            )
        if outcome.kind != "successful":
            running.failed_as = "InvalidResult"
            self._log.verbose(outcome.message, item=workitem.id, queue=workitem.wiq)
            self._drop_attachments(item)
        elif item.attachments or item.pushes:
            attachments = tuple((a.name, str(a.path)) for a in item.attachments)
            outcome = replace(outcome, attachments=attachments, pushes=item.pushes)
        return outcome

    def _drop_attachments(self, item: Item) -> None:
        """Remove the copies that no outcome carries; before it is sent, since an item that is
        handed back is popped again under the same number."""
        if item.attachments:
            self._spool.discard_outputs(item.id, item.attempt - 1)

    async def _run_in_chain(self, chain: MiddlewareChain, call: HandlerCall) -> Any:
        """Run the handler inside its middleware; one that swallows its exception gives None."""
        async with AsyncExitStack() as stack:
            call.resources = await chain.enter(stack, call.item, call.client, call.resources)
            return await self._called(call)
        return None

    async def _called(self, call: HandlerCall) -> Any:
        """Run the handler; who swallows that its item falls asleep is not finished for that."""
        result = await self.executor.run(call)
        if call.item.asleep is not None:
            raise Asleep(call.item.asleep)
        return result

    async def _with_metadata(self, item: Item, outcome: Outcome) -> Outcome:
        """Return an outcome that keeps progress and checkpoint for the next attempt, or drops
        them where there is none."""
        if self._inputs.checkpoints is not None:
            await self._inputs.checkpoints.ended(item, write=outcome.kind == "released")
        if outcome.kind == "released":
            return outcome
        if outcome.kind == "successful":
            payload = item.payload if outcome.payload is None else outcome.payload
            got = outcome.where_got(wraps=self._registered.signature.wraps)
            return replace(outcome, payload=after_success(payload, item.metadata, item.trace, got))
        return replace(outcome, payload=joined(item.payload, item.metadata))
