"""``from worker import context``: what code knows of the item that it works for.

The documented name of ``worker.item.context``.
"""

from worker.item.context import (
    attempt,
    current_namespace,
    headers,
    in_namespace,
    item_id,
    namespace,
    priority,
    traceparent,
)
from worker.item.new_item import DEFAULT_PRIORITY

__all__ = [
    "DEFAULT_PRIORITY",
    "attempt",
    "current_namespace",
    "headers",
    "in_namespace",
    "item_id",
    "namespace",
    "priority",
    "traceparent",
]
