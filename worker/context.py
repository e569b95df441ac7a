"""``from worker import context``: what code knows of the item that it works for.

The documented name of ``worker.item.context``.
"""

from worker.item.context import (
    DEFAULT_PRIORITY,
    attempt,
    current_namespace,
    in_namespace,
    item_id,
    namespace,
    priority,
)

__all__ = [
    "DEFAULT_PRIORITY",
    "attempt",
    "current_namespace",
    "in_namespace",
    "item_id",
    "namespace",
    "priority",
]
