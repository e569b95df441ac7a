"""An item as the test's server has it now."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from worker.item.metadata import taken_out
from worker.item.outcome import SIGNALS, WAITS
from worker.openiap.fields import object_of, text_of, texts_of
from worker.openiap.values import parse_iso
from worker.openiap.workitem import FAILED, NEW, SUCCESSFUL, JsonObject


@dataclass(frozen=True, slots=True)
class ItemView:
    """One work item.

    Attributes:
        state: ``new``, ``processing``, ``successful`` or ``failed``.
        attempts: how many were begun.
        payload: without what the worker itself keeps in it, which ``document`` has.
        errortype, errormessage, errorsource: of the last attempt that failed; the official client
            cannot take them away where a later one succeeds.
        files: the names of what is stored with it.
        nextrun: when it is due, in this process's time; None unless it is ``new``.
        document: all of it, as queries see it.
    """

    id: str
    name: str
    queue: str
    state: str
    priority: int
    attempts: int
    payload: JsonObject
    errortype: str
    errormessage: str
    errorsource: str
    files: tuple[str, ...]
    nextrun: datetime | None
    document: JsonObject = field(repr=False)

    @property
    def waits(self) -> str:
        """Why it waits: ``waits for approval since …``, ``sleeps until …``; "" once it is due."""
        waits = object_of(self.document.get(WAITS))
        if self.nextrun is None or waits.get("until") != self.document.get("nextrun"):
            return ""
        return text_of(waits.get("why")) if self.nextrun > datetime.now(UTC) else ""

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The names of the signals that it waits for."""
        return texts_of(object_of(self.document.get(WAITS)).get(SIGNALS)) if self.waits else ()

    @property
    def ended(self) -> bool:
        """Whether it is successful or failed."""
        return self.state in (SUCCESSFUL, FAILED)


def view_of(document: JsonObject, nextrun: datetime | None = None) -> ItemView:
    """Return a document of ``workitems`` as a view.

    Args:
        document: as queries see it.
        nextrun: instead of the document's own.
    """

    def text(name: str) -> str:
        return str(document.get(name) or "")

    state, retries = text("state"), int(document.get("retries") or 0)
    due = document.get("nextrun")
    payload: Any = document.get("payload")
    return ItemView(
        id=text("_id"),
        name=text("name"),
        queue=text("wiq"),
        state=state,
        priority=int(document.get("priority") or 0),
        attempts=retries if state == NEW else retries + 1,
        payload=taken_out(payload)[0] if isinstance(payload, dict) else {"value": payload},
        errortype=text("errortype"),
        errormessage=text("errormessage"),
        errorsource=text("errorsource"),
        files=tuple(str(file.get("filename") or "") for file in document.get("files") or ()),
        nextrun=nextrun or (parse_iso(due) if isinstance(due, str) else None),
        document=document,
    )
