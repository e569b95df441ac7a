"""Watches: clients that are told of changes in a collection as they happen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.localserver.operations.documents import WITHOUT_HISTORY
from worker.localserver.operations.messages import Subscriber
from worker.localserver.operations.paths import PathError, PathFilter, path_filter
from worker.localserver.operations.roles import Roles
from worker.localserver.storage import json_text, rights
from worker.localserver.storage.change_feed import ChangeFeed, OnChange
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.ids import new_id
from worker.openiap.wire import openiap_pb2 as pb


@dataclass(frozen=True)
class Watch:
    """One client's interest in one collection."""

    id: str
    client: Subscriber
    collection: str
    on_change: OnChange


class Watches:
    """Keeps watches; they end with the link of their client."""

    def __init__(
        self, changes: ChangeFeed, roles: Roles, log: Callable[[str], None], *, strict: bool
    ) -> None:
        self._changes = changes
        self._roles = roles
        self._log = log
        self._strict = strict
        self._watches: dict[str, Watch] = {}
        self._written = (0, "")
        """The text of a change's document, and the change's number: all watches are told the same.
        """

    def add(self, client: Subscriber, collection: str, paths: list[str]) -> str:
        """Watch a collection, and return the watch's id.

        Args:
            client: who is told.
            collection: its name.
            paths: JSON paths such as ``$[?(@.state == 'new')]``; a document that fits one of
                them is told, all if there is none. Where OpenIAP is given an empty one alone, as
                its official client sends it for none, it tells nothing.

        Raises:
            RefusedError: no collection, or a path that is more than comparisons of fields.
        """
        if not collection:
            raise RefusedError("collectionname is mandatory")
        asked = [path for path in paths if path.strip() or not self._strict]
        filters = [(path, path_filter(path, strict=self._strict)) for path in asked]
        watch_id = new_id()
        broken: set[str] = set()

        def fits(path: str, one: PathFilter, document: dict[str, Any]) -> bool:
            try:
                return one.fits(document)
            except PathError as error:
                if path not in broken:  # OpenIAP says so at each change, in ten lines
                    broken.add(path)
                    self._log(
                        f"the watch of {path} on {collection} tells nothing of"
                        f" {document.get('_id')}: {error};"
                        " $[?(…)] looks at the document alone, $.[?(…)] at every value in it"
                    )
                return False

        def tell(operation: str, document: dict[str, Any]) -> None:
            if operation == "delete" and collection in WITHOUT_HISTORY:
                return  # it cannot say what was deleted
            acl = rights.acl_of(collection, document)
            if client.user is None or not rights.may(
                self._roles.current(client.user), acl, rights.READ
            ):
                return
            # Every path is tried, as there: one that fits hides no other's error.
            fitting = [fits(path, one, document) for path, one in filters]
            if paths and True not in fitting:
                return
            client.send(
                "watchevent",
                pb.WatchEvent(id=watch_id, operation=operation, document=self._text(document)),
            )

        def interest(operation: str, known: Mapping[str, Any]) -> bool:
            if not paths:
                return True
            for _, one in filters:  # noqa: SIM110 (twice per item: no generator)
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

    def _text(self, document: dict[str, Any]) -> str:
        """Write the document of the present change, once for all watches."""
        number, text = self._written
        if number != self._changes.number:
            text = json_text.write(document)
            self._written = (self._changes.number, text)
        return text

    def _end(self, watch: Watch) -> None:
        del self._watches[watch.id]
        self._changes.unsubscribe(watch.collection, watch.on_change)
