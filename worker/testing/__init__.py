"""Tests of handlers: without a server, or with one whose time and troubles the test decides.

pytest finds the fixtures ``worker_test`` and ``local_openiap`` by itself once the package is
installed; what stands here serves other test frameworks, and annotations.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from worker.item.outcome import Kind, Outcome
    from worker.testing.doubles import Progress
    from worker.testing.dry_run import Attachments, LogLine, PushSeen, Rehearsed
    from worker.testing.idempotence import NotIdempotent, assert_idempotent
    from worker.testing.item_view import ItemView
    from worker.testing.local_openiap import LocalOpenIAP
    from worker.testing.recorded_groups import GroupSeen
    from worker.testing.worker_test import WorkerTest

__all__ = [
    "Attachments",
    "GroupSeen",
    "ItemView",
    "Kind",
    "LocalOpenIAP",
    "LogLine",
    "NotIdempotent",
    "Outcome",
    "Progress",
    "PushSeen",
    "Rehearsed",
    "WorkerTest",
    "assert_idempotent",
]

_MODULES: Final = {
    "Attachments": "worker.testing.dry_run",
    "GroupSeen": "worker.testing.recorded_groups",
    "ItemView": "worker.testing.item_view",
    "Kind": "worker.item.outcome",
    "LocalOpenIAP": "worker.testing.local_openiap",
    "LogLine": "worker.testing.dry_run",
    "NotIdempotent": "worker.testing.idempotence",
    "Outcome": "worker.item.outcome",
    "Progress": "worker.testing.doubles",
    "PushSeen": "worker.testing.dry_run",
    "Rehearsed": "worker.testing.dry_run",
    "WorkerTest": "worker.testing.worker_test",
    "assert_idempotent": "worker.testing.idempotence",
}


def __getattr__(name: str) -> Any:
    """Import a name's module when it is first asked for.

    The plugin below this package is imported by every pytest of an environment that has the package
    installed, and must not bring the engine and the server along.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
