"""The intake of a queue: whether the handler of a popped item is called now, and with what.

1. One that was in flight when workers died may have to wait until it can run apart from others
   (``isolation.py``), before anything of it is touched.
2. What the worker keeps beside the payload is taken out, with the steps of earlier runs. Cancelled
   and expired items end here, and those that lack a file or do not fit.
3. A handler with keys or rates has a gate that says whether the item may run now.
4. One whose handler needs a system that is away is handed back (``breakers/``).
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from worker.app.payload import missing_file
from worker.app.registry import Registered
from worker.engine.concurrency.gate import Admission, Gate
from worker.engine.in_flight import Running
from worker.engine.isolation import Isolation
from worker.engine.payloads import marks_of, payload_for
from worker.engine.stored_steps import StoredSteps
from worker.engine.worker_services import WorkerServices
from worker.item.cancelled import CODE, cancelled_because
from worker.item.context import current_namespace
from worker.item.metadata import Metadata
from worker.item.origin import origin_of
from worker.item.outcome import Outcome, released
from worker.item.steps import is_apart
from worker.openiap.large import LARGE
from worker.openiap.workitem import Workitem
from worker.telemetry.spans import attempt_span

T = TypeVar("T")

STOPPED: Final = "worker stopped"
EXPIRED: Final = "EXPIRED"
"""The code of an item that was popped too late; see ``PushOptions.expires``."""


class Refused(Exception):
    """The handler is not called; the item ends, or waits, with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


class Intake:
    """Admits the items of one handler.

    Args:
        gate: of a handler with keys or rates.
    """

    def __init__(
        self, registered: Registered, *, gate: Gate | None, services: WorkerServices
    ) -> None:
        self._registered = registered
        self._name = registered.name
        self._options = registered.handler.options
        self._gate = gate
        self._stored_steps = StoredSteps(services.pool)
        self._isolation = services.isolation
        self._breakers = services.breakers
        self._worker_id = services.worker_id
        self._reserve = services.reserve
        self._log = services.log
        self._now = services.now

    async def admit(self, running: Running) -> tuple[Any, Metadata | None]:
        """Return the payload as the handler wants it, and what the worker kept beside it.

        Raises:
            Refused: the handler is not called.
            Exception: whatever a payload model's own code raises.
        """
        if self._isolation is not None and self._isolation.concerns(running.workitem):
            await self._set_apart(self._isolation, running)
        payload, metadata = await self._validate(running)
        if self._gate is not None:
            await self._ask_gate(self._gate, running, payload)
        if self._breakers is not None and (shut := await self._breakers.admit(running)):
            raise Refused(shut)
        return payload, metadata

    def left(self, running: Running) -> None:
        """The item's run is over, whatever became of it."""
        if self._gate is not None and running.admission is not None:
            self._gate.forget(running.admission)
        if self._isolation is not None:
            self._isolation.left(running)
        if self._breakers is not None:
            self._breakers.left(running)

    async def _set_apart(self, isolation: Isolation, running: Running) -> None:
        """Wait until an item that may kill this process can hurt nobody else.

        Raises:
            Refused: it has to wait elsewhere, or the worker stops meanwhile.
        """
        waits = await self._asked(running, isolation.admit(running))
        if waits is not None:
            raise Refused(Outcome("released", None, waits.why, waits=waits))

    async def _validate(self, running: Running) -> tuple[Any, Metadata | None]:
        """Return the payload as the handler wants it, and what the worker kept beside it.

        Raises:
            Refused: a file or a step is missing, or the payload does not fit.
        """
        workitem, name = running.workitem, self._name
        running.large = workitem.size > LARGE
        metadata = marks_of(workitem)
        if metadata is not None:
            running.group = metadata.member_of
            if metadata.steps is not None:
                running.steps_apart = is_apart(metadata.steps)
                steps = await self._stored_steps.of(workitem.id, metadata.steps)
                if isinstance(steps, Outcome):
                    raise Refused(steps)
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
            raise Refused(Outcome("business", None, f"[{CODE}] {cancelled}"))
        if self._is_expired(workitem, metadata):
            running.failed_as = EXPIRED
            raise Refused(Outcome("business", None, f"[{EXPIRED}] nobody worked it in time"))
        if self._options.files:
            lacking = missing_file(self._options.files, [f.filename for f in workitem.files])
            if lacking:
                running.failed_as = "MissingFile"
                raise Refused(Outcome("business", None, f"Item of {name} has no file {lacking}"))
        if running.large and self._options.execution == "process" and self._gate is None:
            return None, metadata  # the child validates it, within the handler's limits
        payload, refused = await payload_for(
            self._registered.signature,
            workitem,
            large=running.large,
            handler=name,
            reserve=self._reserve,
        )
        if refused is not None:
            running.failed_as = "InvalidPayload"
            self._log.verbose(refused.message, item=workitem.id, queue=workitem.wiq)
            raise Refused(refused)
        return payload, metadata

    def _is_expired(self, workitem: Workitem, metadata: Metadata | None) -> bool:
        """Whether it was pushed for an earlier time; what a chain made of such an item was not, and
        one whose steps or sleeps are stored was begun in time."""
        if metadata is None or metadata.expires is None or metadata.steps is not None:
            return False
        if origin_of(metadata.origin, workitem.id) is not None:
            return False
        return self._now().timestamp() >= metadata.expires

    async def _ask_gate(self, gate: Gate, running: Running, payload: Any) -> None:
        """Ask the gate.

        Raises:
            Refused: the item may not run now, or the worker stops meanwhile.
        """
        running.admission = Admission()
        refused = await self._asked(
            running, gate.admit(running.admission, running.workitem, payload, running.interrupt)
        )
        if refused is not None:
            raise Refused(refused)

    async def _asked(self, running: Running, answer: Awaitable[T]) -> T:
        """Return the word of who admits items.

        Raises:
            Refused: the worker stops meanwhile.
        """
        running.stage = "admitting"
        try:
            return await answer
        except asyncio.CancelledError:
            if not running.interrupted:
                raise
            running.forget_cancellations()
            raise Refused(released(STOPPED)) from None
        finally:
            running.stage = "preparing"
