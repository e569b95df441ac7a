"""How the payload of an item in hand is read: from its text where nobody needs the values.

1. A payload that came as text stays text, as long as its marks (``item/metadata.py``) and its
   handler let it: a model is read from the text itself, and what was not changed is not written.
2. What is too large for the loop is read in a thread.
"""

from contextlib import suppress
from typing import Any, Final

from pydantic import ValidationError

from worker.app.signature import Signature
from worker.item.metadata import KEY, Metadata, taken_out
from worker.item.outcome import Outcome, invalid_payload
from worker.kept_memory import Reserve
from worker.openiap.large import apart
from worker.openiap.workitem import Workitem

IN_ONE_GO: Final = 1_250_000
"""Characters that are read on the loop where pydantic's core alone does it: it holds Python
meanwhile, wherever it runs, so that a thread would stop the loop for as long. Measured: 6 ms for a
million, in rows of a number and a text."""


def marks_of(workitem: Workitem) -> Metadata | None:
    """Take what the worker keeps in an item's payload out of it; None where that is nothing."""
    if workitem.unread and _lacks_marks(workitem.text):
        return None
    payload = workitem.payload or {}
    if KEY not in payload:
        return None
    workitem.payload, metadata = taken_out(payload)
    workitem.text = ""
    return metadata


def _lacks_marks(text: str) -> bool:
    """Whether no key can be the marks'; one of letters may be written with escapes as well."""
    return KEY not in text and ("\\" not in text or "\\u" not in text)


async def payload_for(
    signature: Signature,
    workitem: Workitem,
    *,
    large: bool,
    handler: str,
    reserve: Reserve | None = None,
) -> tuple[Any, Outcome | None]:
    """Return what a handler is given, or the outcome of a payload that does not fit.

    Args:
        large: it is read in a thread, unless that is done in one go.
        handler: its name.
        reserve: memory for what is large.
    """
    if large and reserve is not None:
        reserve.hold(workitem.size)
    if workitem.unread and signature.by_text and workitem.size <= IN_ONE_GO:
        if large and reserve is not None:
            await reserve.turn()
        # What does not fit, or has odd names, is told of by the values.
        with suppress(ValidationError):
            return signature.payload_of_text(workitem.text), None
    if large or signature.winding:
        return await apart(True, _read, signature, workitem, large, handler)
    return _read(signature, workitem, large, handler)


def _read(
    signature: Signature, workitem: Workitem, large: bool, handler: str
) -> tuple[Any, Outcome | None]:
    payload = workitem.payload or {}
    try:
        return signature.payload_for(payload, large=large, text=workitem.text), None
    except ValidationError as error:
        return None, invalid_payload(error, handler=handler)
