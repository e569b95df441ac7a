"""What the consumers and runners of one worker are given, and what they share."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from worker.app.events import Events
from worker.app.middleware import Middleware
from worker.engine.breakers.breakers import Breakers
from worker.engine.checkpoints import Checkpoints
from worker.engine.completer import Completer
from worker.engine.isolation import Isolation
from worker.engine.pauses import Pauses
from worker.engine.shortages import Shortages
from worker.kept_memory import Reserve
from worker.openiap.client import Client
from worker.openiap.pool import Pool
from worker.telemetry.counts import Counts
from worker.telemetry.log import Log

ANY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class HandlerInputs:
    """What the handlers of one worker are given, and what is entered around them.

    Attributes:
        client: for ``Client`` parameters.
        resources: what lifespans provide, by type; filled before the first item is popped.
        lifespans: the types that lifespans provide.
        middleware: entered around every handler, before its own.
        checkpoints: takes progress, checkpoints and pushes; None leaves them on the item.
    """

    client: Client
    resources: Mapping[Any, Any]
    lifespans: frozenset[Any] = field(default_factory=frozenset)
    middleware: tuple[Middleware, ...] = ()
    checkpoints: Checkpoints | None = None


@dataclass(frozen=True, slots=True)
class WorkerServices:
    """What the consumers and runners of one worker share.

    Attributes:
        worker_id: who works, for the errors and the evidence on items.
        events: tells hooks; None where there are none.
        isolation: keeps suspects apart; None where nobody is to be protected from them.
        shortages: what the machine lacks; None where its faults are the items'.
        pauses: which queues somebody has paused; None where nobody can.
        breakers: which systems are away; None where that is nobody's business.
        reserve: memory that stays for large payloads; None where nothing is to stay.
        now: the server's time as far as it is known: an item waits by the server's clock.
    """

    worker_id: str
    pool: Pool
    completer: Completer
    counts: Counts
    log: Log
    chance: random.Random
    events: Events | None = None
    isolation: Isolation | None = None
    shortages: Shortages | None = None
    pauses: Pauses | None = None
    breakers: Breakers | None = None
    reserve: Reserve | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def closed(self, queue: str) -> str:
        """Return why nothing of a queue is to be popped now, or ""."""
        if self.isolation is not None and self.isolation.closed:
            return "another item runs alone"
        if self.shortages is not None and self.shortages.closed(queue):
            return "this machine lacks what the handler needs"
        if self.paused(queue):
            return "the queue is paused"
        if self.breakers is not None and self.breakers.closed(queue):
            return "a system that the handler needs is away"
        return ""

    def paused(self, queue: str) -> bool:
        """Whether somebody has paused the queue."""
        return self.pauses is not None and self.pauses.closed(queue)

    def held_up(self, queue: str) -> str:
        """Return why a worker that ends with its queues is not to wait for this one for long: what
        the machine lacks, or which system is away; "" for nothing."""
        short = "" if self.shortages is None else self.shortages.reasons().get(queue, "")
        return short or ("" if self.breakers is None else self.breakers.of(queue))

    def most(self, queue: str) -> int:
        """Return how many pops at a time a queue takes, beside what its slots allow."""
        return 1 if self.breakers is not None and self.breakers.one_only(queue) else ANY
