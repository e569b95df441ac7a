"""Watches: clients that are told of changes in a collection as they happen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.localserver.operations.messages import Subscriber
from worker.localserver.storage import json_text
from worker.localserver.storage.change_feed import ChangeFeed, OnChange
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.ids import new_id
from worker.openiap.wire import openiap_pb2 as pb

EVERYTHING: Final = ("", "$", "$.", "$.*", "$..*")
CONDITIONS: Final = re.compile(r"^\$\.?\[\?\((.+)\)\]$")
EQUALITY: Final = re.compile(r"""^@\.([\w.]+)\s*(===?|!==?)\s*(?:'([^']*)'|"([^"]*)"|([\w.-]+))$""")


@dataclass(frozen=True)
class Watch:
    """One client's interest in one collection."""

    id: str
    client: Subscriber
    collection: str
    on_change: OnChange


class Watches:
    """Keeps watches; they end with the link of their client."""

    def __init__(self, changes: ChangeFeed) -> None:
        self._changes = changes
        self._watches: dict[str, Watch] = {}

    def add(self, client: Subscriber, collection: str, paths: list[str]) -> str:
        """Watch a collection, and return the watch's id.

        Args:
            client: who is told.
            collection: its name.
            paths: JSON paths such as ``$.[?(@.state == 'new')]``; a document that fits one of
                them is told, all if there is none.

        Raises:
            RefusedError: no collection, or a path that is more than comparisons of fields.
        """
        if not collection:
            raise RefusedError("collectionname is mandatory")
        filters = [path_filter(path) for path in paths]
        watch_id = new_id()

        def tell(operation: str, document: dict[str, Any]) -> None:
            if filters and operation != "delete" and not any(f.fits(document) for f in filters):
                return
            client.send(
                "watchevent",
                pb.WatchEvent(id=watch_id, operation=operation, document=json_text.write(document)),
            )

        def interest(operation: str, known: Mapping[str, Any]) -> bool:
            if not filters or operation == "delete":
                return True
            for one in filters:  # noqa: SIM110 (twice per item: no generator)
                if one.may_fit(known):
                    return True
            return False

        self._watches[watch_id] = Watch(watch_id, client, collection, tell)
        self._changes.subscribe(collection, tell, interest)
        return watch_id

    def remove(self, watch_id: str, client: Subscriber) -> None:
        """End a watch of this client.

        Raises:
            RefusedError: the client has no such watch.
        """
        watch = self._watches.get(watch_id)
        if watch is None or watch.client is not client:
            raise RefusedError(f"Unknown watch {watch_id}")
        self._end(watch)

    def forget(self, client: Subscriber) -> None:
        """End every watch of a client whose link is gone."""
        for watch in [one for one in self._watches.values() if one.client is client]:
            self._end(watch)

    def _end(self, watch: Watch) -> None:
        del self._watches[watch.id]
        self._changes.unsubscribe(watch.collection, watch.on_change)


@dataclass(frozen=True, slots=True)
class PathFilter:
    """What a JSON path asks of a document: comparisons, all of which must hold.

    Attributes:
        comparisons: the field's names from the outside in, whether it is to equal, the value.
    """

    comparisons: tuple[tuple[tuple[str, ...], bool, Any], ...]

    def fits(self, document: Mapping[str, Any]) -> bool:
        """Say whether a document is one that was asked for."""
        return all(
            (_value(document, names) == value) is equal for names, equal, value in self.comparisons
        )

    def may_fit(self, known: Mapping[str, Any]) -> bool:
        """Say the same of a document of which only some fields are known."""
        for names, equal, value in self.comparisons:
            if len(names) == 1 and names[0] in known and (known[names[0]] == value) != equal:
                return False
        return True


def path_filter(path: str) -> PathFilter:
    """Return what a watch's JSON path asks of a document.

    Raises:
        RefusedError: the path is more than comparisons of fields with values, joined by ``&&``.
    """
    text = path.strip()
    if text in EVERYTHING:
        return PathFilter(())
    refused = RefusedError(f"The local server cannot watch the path {path}")
    found = CONDITIONS.match(text)
    if found is None:
        raise refused
    comparisons = []
    for part in found[1].split("&&"):
        one = EQUALITY.match(part.strip())
        if one is None:
            raise refused
        if one[5] is not None:
            try:
                value = json_text.parse(one[5])
            except json_text.JsonError as error:
                raise refused from error
        else:
            value = one[3] if one[3] is not None else one[4]
        comparisons.append((tuple(one[1].split(".")), one[2].startswith("="), value))
    return PathFilter(tuple(comparisons))


def _value(document: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        if not isinstance(document, Mapping):
            return None
        document = document.get(name)
    return document
