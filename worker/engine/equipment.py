"""What of the worker a runner uses beside the item's way; by default nothing, and nothing is paid.

The daemon makes one for the whole worker; a rehearsal goes without.
"""

from dataclasses import dataclass, field
from typing import Any

from worker.app.events import Events
from worker.app.middleware import Middleware
from worker.engine.checkpoints import Desk
from worker.engine.delivery.follow_ups import FollowUps


@dataclass(frozen=True, slots=True)
class Equipment:
    """One worker's.

    Attributes:
        worker_id: who works, for the evidence on items.
        middleware: entered around every handler, before its own.
        lifespans: the types that lifespans provide.
        desk: takes progress, checkpoints and pushes.
        followups: pushes what succeeded items asked for.
        events: tells hooks.
    """

    worker_id: str = ""
    middleware: tuple[Middleware, ...] = ()
    lifespans: frozenset[Any] = field(default_factory=frozenset)
    desk: Desk | None = None
    followups: FollowUps | None = None
    events: Events | None = None
