"""What an item comes from, and what came of it: chain, dead letter, follow-up, schedule.

OpenIAP copies a finished item with all its fields into the next queue, so a copy bears the marks of
what its original was: an item that is a copy comes from its original alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel

from worker.item.history import moment_in
from worker.item.metadata import KEY, ORIGIN
from worker.item.new_item import PARENT, PARENT_FIELD, SCHEDULE, SCHEDULE_FIELD
from worker.item.origin import DeadLetter, Origin, origin_of
from worker.management.items.shown import shown_field, shown_text
from worker.management.items.store import ItemStore
from worker.openiap.fields import id_of, object_of, text_of
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject

MOST_CHILDREN: Final = 100

Link = Literal["chain", "dead letter", "follow-up", "schedule"]


class ItemLink(BaseModel):
    """Another item that belongs to an item.

    Attributes:
        how: ``chain``: OpenIAP copied the one into the next queue once it had succeeded; ``dead
            letter``: once it had failed; ``follow-up``: the one asked for the other; ``schedule``:
            the item is of a schedule's tick.
        id: "" for a schedule.
        name: of the item, or of the schedule.
        tick: the schedule's.
    """

    how: Link
    id: str = ""
    queue: str | None = None
    state: str | None = None
    name: str | None = None
    tick: str | None = None


def parent_of(document: Mapping[str, Any]) -> ItemLink | None:
    """Return what an item comes from; None where nothing tells."""
    marks = marks_of(document)
    origin = origin_of(marks.get(ORIGIN), text_of(document.get("_id")))
    if origin is not None:
        return ItemLink(how=_how(origin), id=shown_text(origin.id), queue=shown_text(origin.queue))
    if parent := next(filter(None, _asking(document)), ""):
        return ItemLink(how="follow-up", id=shown_text(parent))
    schedule = object_of(document.get(SCHEDULE_FIELD)) or object_of(marks.get(SCHEDULE))
    name, tick = text_of(schedule.get("name")), moment_in(schedule.get("tick"))
    if not name:
        return None
    return ItemLink(how="schedule", name=shown_text(name), tick=None if tick is None else iso(tick))


async def children_of(store: ItemStore, id: str) -> tuple[list[ItemLink], bool]:
    """Return what came of an item, and whether there is more than that.

    Raises:
        OpenIAPError: it could not be asked for.
    """
    documents = await store.get_children(id, MOST_CHILDREN + 2)  # it may bear its own mark
    found = [*_copies(documents, id), *_follow_ups(documents, id)]
    return found[:MOST_CHILDREN], len(found) > MOST_CHILDREN


def marks_of(document: Mapping[str, Any]) -> JsonObject:
    """Return what the worker keeps in an item's payload."""
    return object_of(object_of(document.get("payload")).get(KEY))


def _copies(documents: Sequence[JsonObject], id: str) -> list[ItemLink]:
    found = []
    for document in documents:
        origin = origin_of(marks_of(document).get(ORIGIN), id_of(document))
        if id_of(document) != id and origin is not None and origin.id == id:
            found.append(_link(document, _how(origin)))
    return found


def _follow_ups(documents: Sequence[JsonObject], id: str) -> list[ItemLink]:
    return [
        _link(document, "follow-up")
        for document in documents
        if id in _asking(document)
        and origin_of(marks_of(document).get(ORIGIN), id_of(document)) is None
    ]


def _asking(document: Mapping[str, Any]) -> tuple[str, str]:
    """Return who asked for an item as a follow-up: as workers have it, and as was pushed."""
    return text_of(document.get(PARENT_FIELD)), text_of(marks_of(document).get(PARENT))


def came_of(document: Mapping[str, Any], id: str) -> bool:
    """Say whether a document may be of an item that came of this one."""
    marks = marks_of(document)
    origin = object_of(marks.get(ORIGIN))
    ids = (origin.get("id"), object_of(origin.get("before")).get("id"))
    return id in (*ids, *_asking(document))


def _how(origin: Origin) -> Link:
    return "dead letter" if isinstance(origin, DeadLetter) else "chain"


def _link(document: JsonObject, how: Link) -> ItemLink:
    return ItemLink(
        how=how,
        id=shown_text(id_of(document)),
        queue=shown_field(document, "wiq"),
        state=shown_field(document, "state"),
        name=shown_field(document, "name"),
    )
