"""Indexes of the items' collection: which ones help operators, and making them."""

from collections.abc import Mapping
from typing import Final

from worker.item.metadata import KEY, ORIGIN
from worker.item.new_item import PARENT, PARENT_FIELD
from worker.management.errors import ForbiddenError
from worker.management.items.store import ItemStore
from worker.openiap.errors import AccessDenied
from worker.openiap.workitem import JsonObject

INDEXES: Final[Mapping[str, JsonObject]] = {
    "openiap_worker_queue_changed": {"wiq": 1, "state": 1, "_modified": -1, "_id": -1},
    "openiap_worker_queue_walked": {"wiq": 1, "state": 1, "_id": 1},
    "openiap_worker_queue_created": {"wiq": 1, "_created": -1, "_id": -1},
    "openiap_worker_walked": {"state": 1, "_id": 1},
    "openiap_worker_created": {"_created": -1, "_id": -1},
    "openiap_worker_copies": {f"payload.{KEY}.{ORIGIN}.id": 1},
    "openiap_worker_older_copies": {f"payload.{KEY}.{ORIGIN}.before.id": 1},
    "openiap_worker_follow_ups": {PARENT_FIELD: 1},
    "openiap_worker_pushed_follow_ups": {f"payload.{KEY}.{PARENT}": 1},
}
"""Those that make lists, counts, groups and looking for what came of an item cost the same of a
million items as of a thousand."""
SPARSE: Final = frozenset(
    {
        "openiap_worker_copies",
        "openiap_worker_older_copies",
        "openiap_worker_follow_ups",
        "openiap_worker_pushed_follow_ups",
    }
)
"""Those that have no entry for the many items without such a field."""


async def make_indexes(store: ItemStore) -> list[str]:
    """Make those that are not there, and return their names.

    Raises:
        ForbiddenError: this user may not; the message says which they are.
    """
    missing = list(INDEXES)
    try:
        there = {str(one.get("name")) for one in await store.get_indexes()}
        missing = [name for name in INDEXES if name not in there]
        for name in missing:
            await store.create_index(INDEXES[name], name, sparse=name in SPARSE)
    except AccessDenied as error:
        wanted = "; ".join(f"{name}: {INDEXES[name]}" for name in missing)
        raise ForbiddenError(
            f"This user may not make indexes of workitems. An administrator can: {wanted}.",
            {"indexes": {name: INDEXES[name] for name in missing}},
        ) from error
    return missing
