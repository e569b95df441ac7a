"""The next minor version of the worker, pretended: it leaves more than this one knows of.

Its presence document has another schema and more fields, its outbox a higher number, a table of its
own and more fields in every row.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from worker.engine.fleet import heartbeat
from worker.engine.outbox import batch, outbox, sqlite

VERSION: Final = "next"
SCHEMA: Final = 2
LEDGER: Final = sqlite.MAJOR * 1000 + 7


def pretend() -> None:
    """Make this process that version."""
    written: Callable[..., dict[str, Any]] = heartbeat.document_of

    def document(*given: Any, **named: Any) -> dict[str, Any]:
        found = written(*given, **named)
        items = [{**item, "mood": "good"} for item in found["items"]]
        return {**found, "schema": SCHEMA, "items": items, "moods": {"of": ["all"]}}

    heartbeat.document_of = document  # type: ignore[attr-defined]
    sqlite.SCHEMA_VERSION = LEDGER  # type: ignore[misc]
    sqlite._SCHEMA += "CREATE TABLE IF NOT EXISTS moods (mood TEXT);"  # type: ignore[misc]
    batch.ROW_VERSION = sqlite.ROW_VERSION = 2  # type: ignore[attr-defined,misc]
    outbox.outcome_text = _with_mood(outbox.outcome_text)  # type: ignore[attr-defined]
    for room in (outbox, batch):
        room.workitem_text = _with_mood(room.workitem_text)  # type: ignore[attr-defined]


def _with_mood(write: Callable[..., str]) -> Callable[..., str]:
    return lambda *given: json.dumps({**json.loads(write(*given)), "mood": "good"})
