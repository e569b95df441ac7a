"""The events of streams, as they are stored: one document each, read here and nowhere else.

An event's ``_id`` is its room and its offset, so of all that publish at once exactly one gets an
offset, and the others know. Type, data and metadata are JSON as text, which no server changes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from worker.openiap.fields import id_of, moment_of, text_of
from worker.openiap.json_path import json_given
from worker.openiap.values import checked_depth, checked_name
from worker.openiap.workitem import JsonObject

COLLECTION: Final = "openiap_worker_streams"
TYPE: Final = "event"
DIGITS: Final = 12
LAST: Final = 10**DIGITS - 1
MOST_BYTES: Final = 32 * 1024
"""Of an event's data and metadata as JSON; a page of events fits into any link."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event of a room.

    Attributes:
        id: names it beyond any doubt.
        offset: its place in the room: 1 for the first, without gaps.
        type: what the publisher calls it.
        data, metadata: as JSON has them.
        time: when the server stored it, in the server's time.
        room: where it was published.
    """

    id: str
    offset: int
    type: str
    data: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    time: datetime | None = None
    room: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """A stream's name, and where its documents stand.

    Attributes:
        key: what its documents are found by; of the namespace, too.
    """

    namespace: str
    name: str
    key: str

    def id(self, offset: int) -> str:
        """Return the ``_id`` of an event's document."""
        return f"{self.key}#{offset:0{DIGITS}}"

    def between(self, first: int = 0, last: int = LAST) -> JsonObject:
        """Return what the ``_id`` of each event between two offsets fulfils."""
        return {"$gte": self.id(first), "$lte": self.id(min(last, LAST))}

    def offset(self, document: Mapping[str, Any]) -> int | None:
        """Return the offset that a document takes up; None for one that takes up none."""
        key, _, digits = id_of(document).rpartition("#")
        if key != self.key or len(digits) != DIGITS:
            return None
        return int(digits) if digits.isascii() and digits.isdigit() else None

    def document(
        self,
        event: StreamEvent,
        texts: tuple[str, str],
        acl: Sequence[JsonObject],
    ) -> JsonObject:
        """Return how an event is stored.

        Args:
            texts: JSON of its data and metadata.
            acl: who may see it; () is OpenIAP's default, the user that publishes.
        """
        document: JsonObject = {
            "_id": self.id(event.offset),
            "_type": TYPE,
            "name": self.name,
            "namespace": self.namespace,
            "key": self.key,
            "offset": event.offset,
            "token": event.id,
            "type": event.type,
            "data": texts[0],
            "metadata": texts[1],
        }
        if acl:
            document["_acl"] = list(acl)
        return document

    def event(self, document: Mapping[str, Any]) -> StreamEvent | None:
        """Read a stored event; None for a document that is none, though it may take an offset."""
        offset = self.offset(document)
        token, type = text_of(document.get("token")), text_of(document.get("type"))
        data, metadata = document.get("data"), document.get("metadata")
        if offset is None or not token or not type:
            return None
        if not isinstance(data, str) or not isinstance(metadata, str):
            return None
        if len(data) + len(metadata) > MOST_BYTES:
            return None
        try:
            told = json.loads(checked_depth(metadata))
            if not isinstance(told, dict):
                return None
            return StreamEvent(
                token,
                offset,
                type,
                json.loads(checked_depth(data)),
                told,
                moment_of(document.get("_created")),
                self.name,
            )
        except (ValueError, RecursionError):
            return None


def room_of(namespace: str, name: str) -> Room:
    """Return a room.

    Raises:
        TypeError, ValueError: a name that is not allowed.
    """
    checked_name(name, "stream")
    both = f"{namespace}\0{name}".encode("utf-8", "surrogatepass")
    return Room(namespace, name, hashlib.sha256(both).hexdigest()[:40])


def texts_of_event(type: str, data: object, metadata: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return the JSON of an event's data and metadata.

    Raises:
        TypeError, ValueError: no type, or what has no JSON form or too much of it.
    """
    checked_name(type, "event type")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"publish: metadata = {metadata!r}; allowed: a dict, or None")
    texts = json_given(data, "publish"), json_given(dict(metadata or {}), "publish: metadata")
    size = sum(len(text.encode()) for text in texts)
    if size > MOST_BYTES:
        raise ValueError(
            f"publish: {size:,} bytes of JSON; allowed: at most {MOST_BYTES:,}. Keep what is larger"
            " in a document or a file, and publish its id"
        )
    return texts
