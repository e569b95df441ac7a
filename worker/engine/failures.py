"""Failures: what an item ends as, for now or for good, when its handler has raised.

1. The worker's own fault, a full disk say, hands the item back without an attempt (``faults.py``),
   and its queue rests (``shortages.py``). A program that gives its item back (``pulling/``) has it
   handed back, too.
2. An error that says that a system is away hands it back, too, unless it has said so often enough
   while others found that system there (``breakers/``).
3. Else the error, the attempt and the handler's policy decide (``item/outcome.py``); an attempt
   that a worker's death took is given back.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Final

from worker.app.options import HandlerOptions
from worker.engine.breakers.breakers import Breakers
from worker.engine.delivery.given_back import raised_by
from worker.engine.faults import fault_behind
from worker.engine.in_flight import Running
from worker.engine.outbox.spool import Spool, SpooledFiles
from worker.engine.shortages import Shortages
from worker.errors import GivenBack, Skip
from worker.item.error_chain import class_of, label_of
from worker.item.outcome import Outcome, failure, released, spent, with_facts
from worker.openiap.errors import OpenIAPError
from worker.openiap.pool import Pool
from worker.telemetry.log import Log
from worker.uptime import uptime


class Failures:
    """Of one handler.

    Args:
        options: the handler's, with its policy.
        worker_id: who worked.
        shortages: None where the worker's faults are the items'.
        breakers: None where systems that are away are the items' bad luck.
        now: the server's time as far as it is known.
        keep: whether somebody asks for the errors later.
    """

    def __init__(
        self,
        options: HandlerOptions,
        *,
        worker_id: str,
        pool: Pool,
        spool: Spool,
        shortages: Shortages | None,
        breakers: Breakers | None,
        log: Log,
        chance: random.Random,
        now: Callable[[], datetime],
        keep: bool,
    ) -> None:
        self._policy: Final = options.retry
        self._worker_id = worker_id
        self._pool = pool
        self._spool = spool
        self._shortages = shortages
        self._breakers = breakers
        self._log = log
        self._chance = chance
        self._now = now
        self._keep = keep

    async def weighed(self, running: Running, error: Exception, files: SpooledFiles) -> Outcome:
        """Return the outcome of an error, once it is known whose fault it is."""
        if isinstance(error, GivenBack):
            return released(str(error))
        unserved = await self._unserved(running, error, files)
        if unserved is not None:
            return unserved
        if self._breakers is not None:
            away = await self._breakers.weigh(running, error)
            if away is not None:
                return away
        workitem, raised = running.workitem, 0
        if spent(error, attempt=workitem.retries + 1, policy=self._policy):
            with suppress(OpenIAPError):  # it counts as it stands then
                raised = await raised_by(self._pool, workitem)
        return self.outcome(running, error, raised)

    def outcome(self, running: Running, error: BaseException, raised: int = 0) -> Outcome:
        """Return the outcome of an error that is the item's.

        Args:
            raised: by how much the item's number is higher than its attempts.
        """
        workitem = running.workitem
        outcome = failure(
            error,
            attempt=workitem.retries + 1 - raised,
            policy=self._policy,
            now=self._now(),
            chance=self._chance,
        )
        if outcome.kind != "successful":
            running.failed_as = label_of(error)
            running.error_class = class_of(error)
            if self._keep:
                running.error = error
            outcome = with_facts(
                outcome,
                error,
                worker=self._worker_id,
                attempt=workitem.retries + 1,
                seconds=uptime() - running.popped,
            )
            self._log.verbose(
                f"{outcome.kind} error: {outcome.message}",
                item=workitem.id,
                queue=workitem.wiq,
                attempt=workitem.retries + 1,
            )
        return outcome

    async def _unserved(
        self, running: Running, error: Exception, files: SpooledFiles
    ) -> Outcome | None:
        """Hand the item back where the worker, and not the item, made its handler fail."""
        shortages, workitem = self._shortages, running.workitem
        if shortages is None or isinstance(error, Skip):
            return None
        fault = await fault_behind(error, files.fault, self._spool)
        if fault is None:
            shortages.done(workitem.id)
            return None
        shortages.note(workitem.wiq, fault)
        if shortages.is_the_items(workitem.id):
            return None
        return released(f"worker {self._worker_id} could not serve it: {fault}")
