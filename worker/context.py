"""``from worker import context``: what code knows of the item that it works for.

The documented name of ``worker.item.context``.
"""

from worker.item.context import (
    at_priority,
    attempt,
    current_namespace,
    headers,
    in_namespace,
    item_id,
    namespace,
    priority,
    traceparent,
    worker_id,
)
from worker.item.new_item import DEFAULT_PRIORITY

__all__ = [
    "DEFAULT_PRIORITY",
    "at_priority",
    "attempt",
    "current_namespace",
    "headers",
    "in_namespace",
    "item_id",
    "namespace",
    "priority",
    "traceparent",
    "worker_id",
]
