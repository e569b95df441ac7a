"""What operators do with items, as entries of the items' timelines. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from worker.item.history import FIELD, Entry, What, added, first_line, pushed, with_operators
from worker.item.masking import masked
from worker.item.metadata import HISTORY, KEY
from worker.management.items.actions import Action, Change, Move, Retry, Update
from worker.openiap.fields import number, object_of, text_of
from worker.openiap.workitem import JsonObject


def entry_of(action: Action, document: Mapping[str, Any], at: datetime, by: str) -> Entry | None:
    """Return the entry of an action; None for one that leaves nothing to stand on.

    Args:
        document: the item, as it was before.
        by: the user.
    """
    told = _told(action, document)
    return None if told is None else Entry(told[0], at, by, why=told[1])


def _told(action: Action, document: Mapping[str, Any]) -> tuple[What, str] | None:
    if isinstance(action, Retry):
        return "put back", ""
    if isinstance(action, Move):
        return "moved", f"from {text_of(document.get('wiq'))} to {action.to}"
    if isinstance(action, Update) and action.patch is not None:
        return "edited", masked(first_line(", ".join(action.patch)))
    if isinstance(action, Update):
        return "priority", f"{number(document.get('priority'))} → {action.priority}"
    return None


class Noted:
    """A change that leaves an entry on the item that it is made to.

    Args:
        entry: None for none.
        limit: entries that an item keeps.
    """

    def __init__(self, item_id: str, change: Change, entry: Entry | None, limit: int) -> None:
        self._id = item_id
        self._change = change
        self._entry = entry if limit > 0 else None
        self._limit = limit

    def update(self, *, anew: bool = False) -> JsonObject:
        """Return it as a conditional update.

        Args:
            anew: write over what stands in the place of the timeline.
        """
        if self._entry is None:
            return self._change.update()
        if anew:
            fields = {FIELD: added(None, self._id, self._entry, self._limit)}
            return with_operators(self._change.update(), {"$set": fields})
        return with_operators(self._change.update(), pushed(self._id, self._entry, self._limit))

    def on(self, document: Mapping[str, Any]) -> JsonObject:
        """Return the whole document."""
        made = self._change.on(document)
        if self._entry is None:
            return made
        return {**made, FIELD: added(document.get(FIELD), self._id, self._entry, self._limit)}

    def payload(self) -> JsonObject:
        """Return the new payload, where that alone is changed."""
        payload: JsonObject = self._change.set["payload"]
        if self._entry is None:
            return payload
        marks = object_of(payload.get(KEY))
        found = added(marks.get(HISTORY), self._id, self._entry, self._limit)
        return {**payload, KEY: {**marks, HISTORY: found}}
