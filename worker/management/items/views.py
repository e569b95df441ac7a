"""What is answered of an item, made of its document. Pure."""

from collections.abc import Mapping
from typing import Any

from worker.item.metadata import taken_out
from worker.item.outcome import WAITS
from worker.management.items.item_groups import group_of_item
from worker.management.items.links import parent_of
from worker.management.items.shown import shown_field, shown_text
from worker.management.items.types import ItemDetailResponse, ItemFile, ItemResponse, ItemWorker
from worker.openiap.fields import number, object_of, objects_of, text_of
from worker.openiap.workitem import NEW, JsonObject


def attempts_of(document: Mapping[str, Any]) -> int:
    """Return how many attempts were begun; of an unfinished item the server counts the repeats."""
    retries = number(document.get("retries"))
    return retries if document.get("state") == NEW else retries + 1


def waits_of(document: Mapping[str, Any]) -> str | None:
    """Return why a parked item waits; None for one that is not parked (any more)."""
    found = object_of(document.get(WAITS))
    if not found or document.get("state") != NEW:
        return None
    why = shown_text(str(found.get("why")))
    return why if found.get("until") == document.get("nextrun") else None


def item_of(document: Mapping[str, Any]) -> ItemResponse:
    """Return an item as lists show it, whatever its document holds."""
    return ItemResponse(**_summary(document))


def detail_of(
    document: Mapping[str, Any], sizes: Mapping[str, int], worker: ItemWorker | None = None
) -> ItemDetailResponse:
    """Return an item whole.

    Args:
        sizes: of its files by id, where they are known.
        worker: who has it, or had it.
    """
    kept = taken_out(object_of(document.get("payload")))[1]
    files = [
        ItemFile(
            name=shown_text(text_of(one.get("filename")) or text_of(one.get("name"))),
            id=shown_text(text_of(one.get("_id"))),
            bytes=sizes.get(text_of(one.get("_id"))),
        )
        for one in objects_of(document.get("files"))
    ]
    return ItemDetailResponse(
        **_summary(document),
        errorsource=shown_field(document, "errorsource"),
        headers=dict(kept.headers),
        trace=None if kept.trace is None else kept.trace.trace_id,
        worker=worker,
        payload=document.get("payload"),
        files=files,
        parent=parent_of(document),
        group=group_of_item(kept.group),
    )


def _summary(document: Mapping[str, Any]) -> JsonObject:
    priority = document.get("priority")
    return {
        "id": shown_field(document, "_id") or "",
        "name": shown_field(document, "name"),
        "queue": shown_field(document, "wiq"),
        "state": shown_field(document, "state"),
        "priority": None if priority is None else number(priority),
        "attempts": attempts_of(document),
        "retries": number(document.get("retries")),  # its name until now, for one version
        "nextrun": shown_field(document, "nextrun"),
        "lastrun": shown_field(document, "lastrun"),
        "username": shown_field(document, "username"),
        "created": shown_field(document, "_created"),
        "modified": shown_field(document, "_modified"),
        "errortype": shown_field(document, "errortype"),
        "errormessage": shown_field(document, "errormessage"),
        "waits": waits_of(document),
    }
