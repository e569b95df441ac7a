"""openiap-worker: typed Python functions that work OpenIAP's work item queues.

What a handler module needs stands here: ``from worker import BusinessError, Item, handler``.
"""

from typing import TYPE_CHECKING, Any

from worker._version import __version__
from worker.app.decorator import Handler, handler
from worker.app.events import (
    Event,
    on_connected,
    on_disconnected,
    on_exhausted,
    on_failed,
    on_retry,
    on_shutdown,
    on_start,
    on_success,
)
from worker.app.lifespan import lifespan
from worker.app.middleware import middleware
from worker.app.router import Router
from worker.app.schedule import schedule
from worker.app.signature import Resource
from worker.errors import ApplicationError, BusinessError, LostItem, Retry, Skip
from worker.item.context import in_namespace
from worker.item.item import Item
from worker.item.metadata import CheckpointError
from worker.item.push import ContractError
from worker.item.retry import Backoff, Never
from worker.openiap.client import Client
from worker.producer.producer import ItemFailed, NoProducer, Producer, Pushed, ResultTimeout
from worker.state.lock import LockLost, LockTimeout
from worker.state.state import State

if TYPE_CHECKING:
    from worker.producer.connect import connect

__all__ = [
    "ApplicationError",
    "Backoff",
    "BusinessError",
    "CheckpointError",
    "Client",
    "ContractError",
    "Event",
    "Handler",
    "Item",
    "ItemFailed",
    "LockLost",
    "LockTimeout",
    "LostItem",
    "Never",
    "NoProducer",
    "Producer",
    "Pushed",
    "Resource",
    "ResultTimeout",
    "Retry",
    "Router",
    "Skip",
    "State",
    "__version__",
    "connect",
    "handler",
    "in_namespace",
    "lifespan",
    "middleware",
    "on_connected",
    "on_disconnected",
    "on_exhausted",
    "on_failed",
    "on_retry",
    "on_shutdown",
    "on_start",
    "on_success",
    "schedule",
]


def __getattr__(name: str) -> Any:
    """Import ``connect`` when it is asked for: no worker needs it, and it brings the settings and
    the connections along, which is most of the time that this import would take."""
    if name != "connect":
        raise AttributeError(f"module 'worker' has no attribute {name!r}")
    from worker.producer.connect import connect

    return connect
