"""The queues and items of the test's server, right where they are stored."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from worker.app.options import Handler
from worker.localserver.operations.services import Services
from worker.localserver.storage.item_documents import document_of
from worker.localserver.storage.item_rules import StoredItem
from worker.localserver.storage.user import administrator
from worker.openiap.workitem import NEW, JsonObject
from worker.testing.item_view import ItemView, view_of
from worker.testing.virtual_time import VirtualClock

QueueOrHandler = str | Handler[..., Any]

TESTER: Final = administrator("tester")
BUSY: Final = "state = 'processing' OR (state = 'new' AND nextrun <= ?)"
WAITING: Final = "state = 'new' AND nextrun > ?"


class ServerItems:
    """What a server has.

    Args:
        services: the running server's; another one after each restart.
        clock: the server's.
    """

    def __init__(self, services: Callable[[], Services], clock: VirtualClock) -> None:
        self._services = services
        self._clock = clock

    def has_queue(self, target: QueueOrHandler) -> bool:
        """Say whether there is a queue of this name."""
        return self._services().queues.find(queue_of(target)) is not None

    def set_queue(self, name: str, **values: int | str) -> None:
        """Make a queue, or change its settings; those that are not named become what is usual."""
        services = self._services()
        settings = {"name": name, "amqpqueue": name, **values}
        if self.has_queue(name):
            document = services.queues.document("", name, TESTER)
            kept = {"_acl": document["_acl"], **settings}
            services.queues.update(document, kept, TESTER, services.now())
        else:
            services.queues.add(settings, TESTER, services.now())
        services.replies.schedule()

    def item(self, id: str) -> ItemView:
        """Return an item as it is now.

        Raises:
            KeyError: there is none.
        """
        return self._view(document_of(self._stored(id)))

    def items(self, target: QueueOrHandler = "") -> list[ItemView]:
        """Return the items of a queue, or all, in the order they were pushed."""
        queue = queue_of(target)
        where, values = ("wiq = ?", (queue,)) if queue else ("", ())
        found = self._services().item_table.select(where, values)
        return [self._view(document_of(one)) for one in found]

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
        services, item = self._services(), self._stored(id)
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

    def _stored(self, id: str) -> StoredItem:
        found = self._services().item_table.get(id)
        if found is None:
            raise KeyError(f"the server has no item {id}")
        return found

    def _view(self, document: JsonObject) -> ItemView:
        seen = view_of(json.loads(json.dumps(document)))
        if seen.nextrun is None:
            return seen
        return replace(seen, nextrun=self._clock.here(seen.nextrun))


def queue_of(target: QueueOrHandler) -> str:
    """Return the queue's name."""
    return target if isinstance(target, str) else target.options.queue
