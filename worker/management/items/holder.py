"""Who has an item, or had it last: what its document tells, and what its worker's own."""

from collections.abc import Mapping
from typing import Any, Final

from worker.engine.delivery.fence import CLOSING, WORKER
from worker.management.items.shown import shown_text
from worker.management.items.store import ItemStore
from worker.management.items.types import ItemWorker
from worker.openiap.errors import OpenIAPError
from worker.openiap.fields import id_of, number, text_of
from worker.openiap.workitem import PROCESSING, JsonObject

SAID_BY: Final = "worker "
"""How the first line of an error's source begins, where a worker wrote it."""


def claim_of(document: Mapping[str, Any]) -> JsonObject | None:
    """Return what stands in the document of the worker that works an item; None where none does."""
    if document.get("state") != PROCESSING:
        return None
    return {"id": document.get("_id"), "retries": number(document.get("retries"))}


def named_worker(document: Mapping[str, Any]) -> str:
    """Return the name of the worker as the item itself has it: of its last attempt, or of the one
    that failed last; "" where nothing tells."""
    if document.get("state") == PROCESSING and document.get(CLOSING) is None:
        return ""  # what stands on it is of an earlier attempt
    if found := text_of(document.get(WORKER)):
        return found
    first = text_of(document.get("errorsource")).partition("\n")[0]
    return first[len(SAID_BY) :].partition(",")[0] if first.startswith(SAID_BY) else ""


async def worker_of(store: ItemStore, document: JsonObject) -> ItemWorker | None:
    """Return who works an item, or ended its last attempt; None where nothing tells."""
    name, host = shown_text(named_worker(document)), ""
    try:
        claim, found = claim_of(document), None
        if claim is not None:
            found = await store.get_worker({"items": {"$elemMatch": claim}})
            name = id_of(found) if found else name
        if name and not found:
            found = await store.get_worker({"_id": name})
        host = text_of(found.get("host")) if found else ""
    except OpenIAPError:
        pass  # who may not read them is told of the item all the same
    return ItemWorker(name=shown_text(name), host=shown_text(host)) if name else None
