"""Questions that are of queues and states alone, which the kept numbers of items answer. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from worker.localserver.storage import json_text
from worker.localserver.storage.item_counts import Place


def held_by(
    query: Mapping[str, Any], held: Callable[[], Mapping[Place, int]]
) -> dict[Place, int] | None:
    """Return the numbers of the items that match, where there are any; None where the query asks
    for more than queues and states, or in another way.

    Args:
        query: MongoDB's query language.
        held: returns the numbers of all items; called where it is of use.
    """
    wanted: dict[str, frozenset[str]] = {}
    for key, value in query.items():
        if key == "_type" and value == "workitem":
            continue
        values = _values(value) if key in ("wiq", "state") else None
        if values is None:
            return None
        wanted[key] = values
    queues, states = wanted.get("wiq"), wanted.get("state")
    return {
        (queue, state): count
        for (queue, state), count in held().items()
        if count and (queues is None or queue in queues) and (states is None or state in states)
    }


def _values(wanted: object) -> frozenset[str] | None:
    """Return the texts that a field has to be one of; None where it is not that."""
    if isinstance(wanted, str):
        return frozenset((wanted,))
    several = wanted.get("$in") if isinstance(wanted, dict) and len(wanted) == 1 else None
    if not isinstance(several, list):
        return None
    if not all(isinstance(one, str) and not json_text.is_date(one) for one in several):
        return None
    return frozenset(several)
