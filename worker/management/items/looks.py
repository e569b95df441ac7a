"""What is told of one item, by the questions that it takes: its document, what came of it, and what
stands elsewhere: its worker, its files' sizes, its group.

Each can be asked again without the others; what is shown is made of them. Who is told of an item's
changes has its document without a question.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.item.metadata import GROUP
from worker.management.errors import said_by_openiap
from worker.management.items.errors import ItemNotFoundError
from worker.management.items.holder import claim_of, named_worker, worker_of
from worker.management.items.item_groups import ItemGroup, group_of_item, how_far
from worker.management.items.links import ItemLink, children_of, marks_of
from worker.management.items.shown import shown_text
from worker.management.items.store import ItemStore
from worker.management.items.types import ItemDetailResponse, ItemWorker
from worker.management.items.views import detail_of
from worker.openiap.errors import AccessDenied
from worker.openiap.fields import number, objects_of, text_of
from worker.openiap.workitem import JsonObject


@dataclass(frozen=True)
class Children:
    """What came of an item, at most 100; ``more``: there are others."""

    found: list[ItemLink]
    more: bool = False


@dataclass(frozen=True)
class Around:
    """What of an item stands elsewhere.

    Attributes:
        of: the attempt that it was asked for (``attempt_of``).
        sizes: of its files in bytes, by id; those that are known.
        worker: who works it, or ended its last attempt.
        group: how far it is.
    """

    of: tuple[Any, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    worker: ItemWorker | None = None
    group: ItemGroup | None = None


class ItemLooks:
    """Looks at one item, with the rights of a client's user.

    Args:
        store: asks.
        namespace: where this package keeps groups.
    """

    def __init__(self, store: ItemStore, namespace: str) -> None:
        self._store = store
        self._namespace = namespace

    async def get_document(self, id: str) -> JsonObject:
        """Return an item's document; one message.

        Raises:
            ItemNotFoundError: there is none, or none for this user.
        """
        with said_by_openiap():
            found = await self._store.get_one(id)
        if found is None:
            raise ItemNotFoundError(id)
        return found

    async def get_children(self, id: str) -> Children:
        """Return what came of an item; one message."""
        with said_by_openiap():
            found, more = await children_of(self._store, id)
        return Children(found, more)

    async def get_around(self, document: JsonObject) -> Around:
        """Return what of an item stands elsewhere: a message for each that there is."""
        with said_by_openiap():
            ids = [text_of(one.get("_id")) for one in objects_of(document.get("files"))]
            try:
                sizes = await self._store.get_sizes([id for id in ids if id])
            except AccessDenied:
                sizes = {}
            worker = await worker_of(self._store, document)
            group = group_of_item(marks_of(document).get(GROUP))
            group = await how_far(self._store.client, self._namespace, group)
        return Around(attempt_of(document), sizes, worker, group)


def attempt_of(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells the attempts of an item apart, and how far it is with one."""
    name = named_worker(document) if claim_of(document) is None else ""
    return document.get("state"), number(document.get("retries")), document.get("lastrun"), name


def whole(
    document: JsonObject, children: Children | None, around: Around | None
) -> ItemDetailResponse:
    """Return an item whole, by what is known of it."""
    children, around = children or Children([]), around or Around()
    worker = around.worker
    if around.of != attempt_of(document):
        name = shown_text(named_worker(document))
        worker = ItemWorker(name=name) if name else None
    detail = detail_of(document, around.sizes, worker)
    told: JsonObject = {"children": children.found, "more_children": children.more}
    group = around.group
    if group is not None and detail.group is not None and group.id == detail.group.id:
        told["group"] = group
    return detail.model_copy(update=told)
