"""What operators read and do, for Python: ``from worker.management import Items, Queues, connect``.

Each name loads its file when it is first asked for; ``worker.management.sync`` is the same for
blocking code.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from worker.management.connection import connect as connect
    from worker.management.items.service import Items as Items
    from worker.management.queues.breakers import Breakers as Breakers
    from worker.management.queues.service import Queues as Queues
    from worker.management.schedules.service import Schedules as Schedules
    from worker.management.workers.service import Workers as Workers

__all__ = ["Breakers", "Items", "Queues", "Schedules", "Workers", "connect"]

_ROOM_OF: Final = {
    "Breakers": "worker.management.queues.breakers",
    "Items": "worker.management.items.service",
    "Queues": "worker.management.queues.service",
    "Schedules": "worker.management.schedules.service",
    "Workers": "worker.management.workers.service",
    "connect": "worker.management.connection",
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import the file of a name when it is first asked for."""
        if name not in _ROOM_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_ROOM_OF[name]), name)
        return found
