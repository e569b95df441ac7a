"""The runner: works one popped item from pop to accepted outcome.

1. The pop is on disk before anything else.
2. Admit: the payload is validated, and a handler with keys or rates has a gate that says whether
   the item may run now. Who is refused goes straight to 5; the handler is not called.
3. Prepare: the item that the handler is given is made.
4. Run: the handler runs under its limits; whatever it does becomes an outcome.
5. The outcome is completed (``completer.py``), and the gate is told that the item's turn is over.

An item whose handler needs a system that is away is handed back (``breakers/``). One that was in
flight when workers died may have to wait until it can run apart from others
(``isolation.py``), before anything of it is touched. One that the worker could not serve is handed
back (``faults.py``), and its queue rests until it can (``shortages.py``).
"""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from worker.app.middleware_chain import MiddlewareChain, chain_of
from worker.app.payload import missing_file
from worker.app.registry import Registered
from worker.engine.concurrency.gate import Admission, Gate
from worker.engine.delivery.delivery import Delivered
from worker.engine.execution import Executor, HandlerCall
from worker.engine.execution.evidence import AttemptFacts, EvidenceLog, with_evidence
from worker.engine.failures import Failures
from worker.engine.in_flight import DurationEstimate, Running
from worker.engine.isolation import Isolation
from worker.engine.item_events import item_events_of
from worker.engine.outbox.spool import SpooledFiles
from worker.engine.payloads import marks_of, payload_for
from worker.engine.stored_files import StoredFiles
from worker.engine.stored_steps import StoredSteps
from worker.engine.worker_services import HandlerInputs, WorkerServices
from worker.errors import BusinessError, TimeLimitExceeded
from worker.item.cancelled import CODE, cancelled_because
from worker.item.context import current_namespace, current_worker
from worker.item.in_memory_store import InMemoryStore
from worker.item.item import Item, ItemStore
from worker.item.long_work import Asleep
from worker.item.metadata import Metadata, after_success, joined
from worker.item.origin import origin_of
from worker.item.outcome import (
    UNCHANGED,
    Outcome,
    released,
    sleeping,
    success,
    with_attempt,
)
from worker.openiap.large import LARGE, apart, is_large
from worker.openiap.workitem import Workitem
from worker.standard_streams import mend_standard_streams
from worker.telemetry.printed import rest_of
from worker.telemetry.spans import attempt_span
from worker.uptime import uptime

T = TypeVar("T")

STOPPED: Final = "worker stopped"
EXPIRED: Final = "EXPIRED"
"""The code of an item that was popped too late; see ``PushOptions.expires``."""


class _Refused(Exception):
    """The handler is not called; the item ends, or waits, with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


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
        self._stored_steps = StoredSteps(services.pool)
        self._now = services.now
        self._completer = services.completer
        self._outbox = services.completer.outbox
        self._spool = services.completer.spool
        self._log = services.log
        self._events = item_events_of(self._options, services.events)
        self._isolation = services.isolation
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
                if self._isolation is not None:
                    await self._set_apart(self._isolation, running)
                payload, metadata = await self._validate(running)
                if self.gate is not None:
                    await self._admit(self.gate, running, payload)
                if self._breakers is not None and (shut := await self._breakers.admit(running)):
                    raise _Refused(shut)
                call = self._prepare(running, payload, metadata, files)
                payload = None
                outcome = await self._run(running, call, files)
            except _Refused as refused:
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
            if self.gate is not None and running.admission is not None:
                self.gate.forget(running.admission)
            if self._isolation is not None:
                self._isolation.left(running)
            if self._breakers is not None:
                self._breakers.left(running)
            files.discard_inputs()

    async def hand_back(self, running: Running) -> Delivered:
        """Give an item back that was popped although the worker stops, or its queue is closed."""
        if self._outbox is not None:
            await self._outbox.popped(running.workitem, running.popped_at)
        why = self._closed(running.workitem.wiq) or STOPPED
        return await self._completer.complete(running, released(why), self._events)

    # Admit.

    async def _set_apart(self, isolation: Isolation, running: Running) -> None:
        """Wait until an item that may kill this process can hurt nobody else.

        Raises:
            _Refused: it has to wait elsewhere, or the worker stops meanwhile.
        """
        waits = await self._asked(running, isolation.admit(running))
        if waits is not None:
            raise _Refused(Outcome("released", None, waits.why, waits=waits))

    async def _validate(self, running: Running) -> tuple[Any, Metadata | None]:
        """Return the payload as the handler wants it, and what the worker kept beside it.

        Raises:
            _Refused: a file or a step is missing, or the payload does not fit.
        """
        workitem, name = running.workitem, self._name
        running.large = workitem.size > LARGE
        metadata = marks_of(workitem)
        if metadata is not None:
            if metadata.steps is not None:
                steps = await self._stored_steps.of(workitem.id, metadata.steps)
                if isinstance(steps, Outcome):
                    raise _Refused(steps)
                metadata.steps = steps
            if metadata.namespace:
                current_namespace.set(metadata.namespace)
        running.span = attempt_span(
            workitem,
            None if metadata is None else metadata.trace,
            handler=name,
            worker=self._worker_id,
        )
        cancelled = cancelled_because(workitem.errormessage, workitem.errorsource, workitem.retries)
        if cancelled:  # while it ran, before it was handed back
            running.failed_as = CODE
            raise _Refused(Outcome("business", None, f"[{CODE}] {cancelled}"))
        if self._is_expired(workitem, metadata):
            running.failed_as = EXPIRED
            raise _Refused(Outcome("business", None, f"[{EXPIRED}] nobody worked it in time"))
        if self._options.files:
            lacking = missing_file(self._options.files, [f.filename for f in workitem.files])
            if lacking:
                running.failed_as = "MissingFile"
                raise _Refused(Outcome("business", None, f"Item of {name} has no file {lacking}"))
        if running.large and self._options.execution == "process" and self.gate is None:
            return None, metadata  # the child validates it, within the handler's limits
        payload, refused = await payload_for(
            self._registered.signature, workitem, large=running.large, handler=name
        )
        if refused is not None:
            running.failed_as = "InvalidPayload"
            self._log.verbose(refused.message, item=workitem.id, queue=workitem.wiq)
            raise _Refused(refused)
        return payload, metadata

    def _is_expired(self, workitem: Workitem, metadata: Metadata | None) -> bool:
        """Whether it was pushed for an earlier time; what a chain made of such an item was not, and
        one whose steps or sleeps are stored was begun in time."""
        if metadata is None or metadata.expires is None or metadata.steps is not None:
            return False
        if origin_of(metadata.origin, workitem.id) is not None:
            return False
        return self._now().timestamp() >= metadata.expires

    async def _admit(self, gate: Gate, running: Running, payload: Any) -> None:
        """Ask the gate.

        Raises:
            _Refused: the item may not run now, or the worker stops meanwhile.
        """
        running.admission = Admission()
        refused = await self._asked(
            running, gate.admit(running.admission, running.workitem, payload, running.interrupt)
        )
        if refused is not None:
            raise _Refused(refused)

    async def _asked(self, running: Running, answer: Awaitable[T]) -> T:
        """Return the word of who admits items.

        Raises:
            _Refused: the worker stops meanwhile.
        """
        running.stage = "admitting"
        try:
            return await answer
        except asyncio.CancelledError:
            if not running.interrupted:
                raise
            _forget_cancellations(running.task)
            raise _Refused(released(STOPPED)) from None
        finally:
            running.stage = "preparing"

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
                _forget_cancellations(running.task)
            self._drop_attachments(call.item)
            if running.cancelled:
                return self._failures.outcome(running, BusinessError(running.cancelled, code=CODE))
            return sleeping(asleep.until)
        except asyncio.CancelledError as error:
            if running.interrupted:
                _forget_cancellations(running.task)
                self._drop_attachments(call.item)
                return released(STOPPED)
            if running.task is not None and running.task.cancelling():
                raise  # the worker gives up on this item: its outbox row stays
            self._drop_attachments(call.item)
            return self._failures.outcome(running, error)
        except Exception as error:  # whatever a handler raises is its item's end
            running.stage = "delivering"
            self._drop_attachments(call.item)
            if running.cancelled:
                cancelled = BusinessError(running.cancelled, code=CODE)
                if isinstance(error, TimeLimitExceeded):  # it was ended as at its limit: before it
                    error.args = (f"asked to end{', and given up' if error.stack else ''}",)
                cancelled.__cause__ = error
                return self._failures.outcome(running, cancelled)
            return await self._failures.weighed(running, error, files)
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
        item, workitem = call.item, running.workitem
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
            return replace(outcome, payload=after_success(payload, item.metadata, item.trace))
        return replace(outcome, payload=joined(item.payload, item.metadata))


def _forget_cancellations(task: "asyncio.Task[Delivered] | None") -> None:
    """The interrupt was meant for the handler alone; the delivery after it goes on."""
    while task is not None and task.cancelling():
        task.uncancel()
