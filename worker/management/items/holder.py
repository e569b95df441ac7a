"""Who has an item, or had it last: what its document tells, and whom to ask. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from worker.engine.delivery.fence import CLOSING, WORKER
from worker.openiap.fields import number, text_of
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
