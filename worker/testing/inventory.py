"""The queues and items of the test's server, right where they are kept."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from worker.app.options import Handler
from worker.durations import Duration, seconds
from worker.localserver.operations.services import Services
from worker.localserver.storage.item_table import document_of
from worker.localserver.storage.user import User
from worker.openiap.workitem import NEW, JsonObject
from worker.testing.item_view import ItemView, view_of
from worker.testing.virtual_time import VirtualClock

Target = str | Handler[..., Any]

ME: Final = User("", "tester")
BUSY: Final = "state = 'processing' OR (state = 'new' AND nextrun <= ?)"
WAITING: Final = "state = 'new' AND nextrun > ?"


class Inventory:
    """What a server has.

    Args:
        services: the running server's; another one after each restart.
        clock: the server's.
    """

    def __init__(self, services: Callable[[], Services], clock: VirtualClock) -> None:
        self._services = services
        self._clock = clock

    def has_queue(self, target: Target) -> bool:
        """Whether there is a queue of this name."""
        return self._services().queues.find(queue_of(target)) is not None

    def make_queue(
        self,
        target: Target,
        *,
        maxretries: int = 3,
        retrydelay: Duration = 0,
        initialdelay: Duration = 0,
        success: Target = "",
        failed: Target = "",
    ) -> None:
        """Make a queue, or change it; see ``LocalOpenIAP.queue``."""
        services, name = self._services(), queue_of(target)
        values = {
            "name": name,
            "maxretries": maxretries,
            "retrydelay": int(seconds(retrydelay)),
            "initialdelay": int(seconds(initialdelay)),
            "amqpqueue": name,
            "success_wiq": queue_of(success),
            "failed_wiq": queue_of(failed),
        }
        if self.has_queue(name):
            services.queues.update(services.queues.document("", name), values, ME, services.now())
        else:
            services.queues.add(values, ME, services.now())
        services.replies.schedule()

    def item(self, id: str) -> ItemView:
        """Return an item as it is now.

        Raises:
            KeyError: there is none.
        """
        found = self._services().item_table.get(id)
        if found is None:
            raise KeyError(f"the server has no item {id}")
        return self._view(document_of(found))

    def items(self, target: Target = "") -> list[ItemView]:
        """Return the items of a queue, or all, in the order they were pushed."""
        queue = queue_of(target)
        where, values = ("wiq = ?", (queue,)) if queue else ("", ())
        return [
            self._view(document_of(one))
            for one in self._services().item_table.select(where, values)
        ]

    def file(self, id: str, name: str) -> bytes:
        """Return the content of a file that is stored with an item.

        Raises:
            KeyError: no such item, or no such file; the text names those that are.
        """
        item = self.item(id)
        for entry in item.document.get("files") or ():
            if entry.get("filename") == name:
                return b"".join(self._services().files.contents(str(entry["_id"])))
        raise KeyError(f"item {id} has no file {name!r}; it has: {', '.join(item.files) or 'none'}")

    def put_back(self, id: str) -> None:
        """Make an item new and due, without counting an attempt.

        Raises:
            KeyError: there is none.
        """
        services = self._services()
        item = services.item_table.get(id)
        if item is None:
            raise KeyError(f"the server has no item {id}")
        item.state, item.userid, item.username = NEW, "", ""
        item.nextrun = services.now()
        services.item_table.replace(item, services.now())
        services.replies.schedule()

    def next_due(self) -> float | None:
        """Return the seconds until the next item is due.

        None where one is due or worked already, or where nothing waits.
        """
        services = self._services()
        now = services.now()
        if services.item_table.count(BUSY, (now,)):
            return None
        waiting = services.item_table.select(WAITING, (now,), payloads=False)
        due = min((item.nextrun for item in waiting if item.nextrun is not None), default=None)
        return None if due is None else (due - now) / 1000

    def _view(self, document: JsonObject) -> ItemView:
        seen = view_of(json.loads(json.dumps(document)))
        return (
            seen if seen.nextrun is None else replace(seen, nextrun=self._clock.here(seen.nextrun))
        )


def queue_of(target: Target) -> str:
    """Return the queue's name."""
    return target if isinstance(target, str) else target.options.queue
