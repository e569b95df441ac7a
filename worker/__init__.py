"""openiap-worker: typed Python functions that work OpenIAP's work item queues.

What a handler module needs stands here: ``from worker import BusinessError, Item, handler``.
"""

from typing import TYPE_CHECKING, Any

from worker.contents import ContractError
from worker.context import in_namespace
from worker.errors import ApplicationError, BusinessError, LostItem, Retry, Skip
from worker.events import (
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
from worker.handler import Handler, handler
from worker.item import Item
from worker.marks import CheckpointError
from worker.middleware import middleware
from worker.openiap.client import Client
from worker.policy import Backoff, Never
from worker.producer import ItemFailed, NoProducer, Producer, Pushed, ResultTimeout
from worker.resources import lifespan
from worker.router import Router
from worker.schedules.schedule import schedule
from worker.signature import Resource
from worker.state.lock import LockLost, LockTimeout
from worker.state.state import State

if TYPE_CHECKING:
    from worker.door import connect

__version__ = "0.1.0"

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
    from worker.door import connect

    return connect
