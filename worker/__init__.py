"""openiap-worker: typed Python functions that work OpenIAP's work item queues.

What a handler module needs stands here: ``from worker import BusinessError, Item, handler``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from worker._version import __version__

if TYPE_CHECKING:
    from worker import context, sync
    from worker.app.breaker import Breaker
    from worker.app.contracts import Contracts, contracts_of
    from worker.app.decorator import handler
    from worker.app.events import (
        Event,
        on_connected,
        on_disconnected,
        on_error,
        on_exhausted,
        on_failed,
        on_retry,
        on_shutdown,
        on_start,
        on_success,
    )
    from worker.app.inline_pushes import inline
    from worker.app.lifespan import lifespan
    from worker.app.listener import on_change, on_message
    from worker.app.middleware import middleware
    from worker.app.options import Handler
    from worker.app.router import Router
    from worker.app.schedule import schedule
    from worker.app.signature import Resource
    from worker.engine.pulling.connect import connect
    from worker.errors import ApplicationError, BusinessError, LostItem, Outage, Retry, Skip
    from worker.item.context import at_priority, in_namespace
    from worker.item.group_desk import GroupError, GroupMember, GroupNotFound, GroupProgress
    from worker.item.group_handle import Group, GroupResults
    from worker.item.item import Item
    from worker.item.metadata import CheckpointError
    from worker.item.origin import DeadLetter, Origin
    from worker.item.push import ContractError
    from worker.item.retry import Backoff, Never
    from worker.item.signals import SignalRefused, SignalTimeout
    from worker.item.steps import StepError
    from worker.item.taken import TakenItem
    from worker.openiap.batch import batch
    from worker.openiap.client import Client
    from worker.producer.connect import client
    from worker.producer.no_result import ResultTimeout
    from worker.producer.producer import NoProducer, Producer
    from worker.producer.pushed import ItemFailed, Pushed
    from worker.producer.taking import NoItem
    from worker.producer.topics import Message
    from worker.state.cached import cached
    from worker.state.events import StreamEvent
    from worker.state.lock import LockLost, LockTimeout
    from worker.state.state import State

__all__ = [
    "ApplicationError",
    "Backoff",
    "Breaker",
    "BusinessError",
    "CheckpointError",
    "Client",
    "ContractError",
    "Contracts",
    "DeadLetter",
    "Event",
    "Group",
    "GroupError",
    "GroupMember",
    "GroupNotFound",
    "GroupProgress",
    "GroupResults",
    "Handler",
    "Item",
    "ItemFailed",
    "LockLost",
    "LockTimeout",
    "LostItem",
    "Message",
    "Never",
    "NoItem",
    "NoProducer",
    "Origin",
    "Outage",
    "Producer",
    "Pushed",
    "Resource",
    "ResultTimeout",
    "Retry",
    "Router",
    "SignalRefused",
    "SignalTimeout",
    "Skip",
    "State",
    "StepError",
    "StreamEvent",
    "TakenItem",
    "__version__",
    "at_priority",
    "batch",
    "cached",
    "client",
    "connect",
    "context",
    "contracts_of",
    "handler",
    "in_namespace",
    "inline",
    "lifespan",
    "middleware",
    "on_change",
    "on_connected",
    "on_disconnected",
    "on_error",
    "on_exhausted",
    "on_failed",
    "on_message",
    "on_retry",
    "on_shutdown",
    "on_start",
    "on_success",
    "schedule",
    "sync",
]

_ROOMS: Final = {
    "worker.app.breaker": "Breaker",
    "worker.app.contracts": "Contracts contracts_of",
    "worker.app.decorator": "handler",
    "worker.app.events": "Event on_connected on_disconnected on_error on_exhausted on_failed"
    " on_retry on_shutdown on_start on_success",
    "worker.app.inline_pushes": "inline",
    "worker.app.lifespan": "lifespan",
    "worker.app.listener": "on_change on_message",
    "worker.app.middleware": "middleware",
    "worker.app.options": "Handler",
    "worker.app.router": "Router",
    "worker.app.schedule": "schedule",
    "worker.app.signature": "Resource",
    "worker.engine.pulling.connect": "connect",
    "worker.errors": "ApplicationError BusinessError LostItem Outage Retry Skip",
    "worker.item.context": "at_priority in_namespace",
    "worker.item.group_desk": "GroupError GroupMember GroupNotFound GroupProgress",
    "worker.item.group_handle": "Group GroupResults",
    "worker.item.item": "Item",
    "worker.item.metadata": "CheckpointError",
    "worker.item.origin": "DeadLetter Origin",
    "worker.item.push": "ContractError",
    "worker.item.retry": "Backoff Never",
    "worker.item.signals": "SignalRefused SignalTimeout",
    "worker.item.steps": "StepError",
    "worker.item.taken": "TakenItem",
    "worker.openiap.batch": "batch",
    "worker.openiap.client": "Client",
    "worker.producer.connect": "client",
    "worker.producer.no_result": "ResultTimeout",
    "worker.producer.producer": "NoProducer Producer",
    "worker.producer.pushed": "ItemFailed Pushed",
    "worker.producer.taking": "NoItem",
    "worker.producer.topics": "Message",
    "worker.state.cached": "cached",
    "worker.state.events": "StreamEvent",
    "worker.state.lock": "LockLost LockTimeout",
    "worker.state.state": "State",
}
_ROOM_OF: Final = {name: room for room, names in _ROOMS.items() for name in names.split()}


if not TYPE_CHECKING:  # checkers are to find a misspelt name

    def __getattr__(name: str) -> Any:
        """Import the file of a name when it is first asked for.

        Whatever is imported below this package runs this file first, and the local server or a
        command needs none of the handler's files.
        """
        if name in ("context", "sync"):
            return import_module(f"worker.{name}")
        if name not in _ROOM_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_ROOM_OF[name]), name)
        return found


def __dir__() -> list[str]:
    return list(__all__)
