"""What the worker keeps in an item's payload beside the payload: one key, documented here.

``payload["openiap_worker"]`` is an object with, each only where there is one:

- ``checkpoint``: what ``item.checkpoint(…)`` was given; the next attempt finds it in
  ``item.checkpointed``. It goes when the item succeeds.
- ``progress``: ``{"share": 0.4, "text": "page 3 of 8", "at": "…Z"}``. It goes when the item
  succeeds.
- ``steps``: the results of the item's steps, and its sleeps (``steps.py``). It goes when the item
  succeeds, and is of no meaning to a copy.
- ``namespace``: whose work this is; it stays, and goes along a chain.
- ``headers``: short texts by name (``headers.py``); they stay, and go along a chain.
- ``traceparent``, ``tracestate``: the trace that it is of (``trace.py``), as W3C writes them; after
  a success the place from which a chain goes on.
- ``due``: when an item that was to wait was due, in seconds since 1970: a pop does not tell it.
- ``expires``: from when on it is not to be worked any more, in seconds since 1970. It goes when the
  item succeeds, and is nothing to a copy that a chain makes.
- ``unique``, ``follow_up``: the id under which a unique push or a follow-up item is known that
  could not have it (``producer/insert.py``); it stays, for who asks whether the item is there.
- ``origin``: the item that this one is a copy of, where a chain made it; see ``origin.py``.
- ``parent``: the item that asked for this one, a follow-up that cannot have it elsewhere.
- ``schedule``: the schedule and the tick that this item is of, where that is so.
- ``group``: the group that this item is a member of, or comes after (``group.py``): ``{"id": ID,
  "n": 4}``, and after a success ``"got"``: which fields of the payload the handler returned; it
  stays.
- ``history``: what became of earlier runs, where it has no place beside the payload
  (``history.py``). It does not go along a chain.

Handlers never see the key: it is taken out before the payload is validated.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from worker.errors import WorkerError
from worker.item.headers import NONE, stored_headers
from worker.item.json_form import NotJson, json_form
from worker.item.new_item import PARENT, SCHEDULE
from worker.item.trace import Trace, trace_of
from worker.openiap.values import format_bytes, json_text
from worker.openiap.workitem import JsonObject

KEY: Final = "openiap_worker"
ORIGIN: Final = "origin"
HISTORY: Final = "history"
STEPS: Final = "steps"
GROUP: Final = "group"
CHECKPOINT: Final = "checkpoint"
PROGRESS: Final = "progress"
MAX_CHECKPOINT: Final = 1024 * 1024
"""Bytes of JSON; it travels with every write and every pop of the item."""


class CheckpointError(WorkerError, ValueError):
    """A checkpoint or a progress that cannot be kept; the text says why."""


@dataclass(slots=True)
class Metadata:
    """The content of the key."""

    checkpoint: Any = None
    progress: JsonObject | None = None
    namespace: str = ""
    unique: str = ""
    follow_up: str = ""
    origin: JsonObject | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: NONE)
    trace: Trace | None = None
    due: float | None = None
    expires: float | None = None
    parent: str = ""
    schedule: JsonObject | None = None
    history: JsonObject | None = None
    steps: JsonObject | None = None
    group: JsonObject | None = None

    @property
    def member_of(self) -> str:
        """The id of the group that the item is a member of, or ""."""
        mark = self.group or {}
        id = mark.get("id")
        return id if isinstance(id, str) and not mark.get("then") else ""

    def content(self) -> JsonObject:
        """Return what is stored under the key; {} for nothing."""
        found: JsonObject = {}
        if self.checkpoint is not None:
            found[CHECKPOINT] = self.checkpoint
        if self.progress is not None:
            found[PROGRESS] = self.progress
        if self.namespace:
            found["namespace"] = self.namespace
        if self.unique:
            found["unique"] = self.unique
        if self.follow_up:
            found["follow_up"] = self.follow_up
        if self.origin is not None:
            found[ORIGIN] = self.origin
        if self.headers:
            found["headers"] = dict(self.headers)
        if self.trace is not None:
            found["traceparent"] = self.trace.traceparent
            if self.trace.tracestate:
                found["tracestate"] = self.trace.tracestate
        if self.due is not None:
            found["due"] = self.due
        if self.expires is not None:
            found["expires"] = self.expires
        if self.parent:
            found[PARENT] = self.parent
        if self.schedule is not None:
            found[SCHEDULE] = self.schedule
        if self.history is not None:
            found[HISTORY] = self.history
        if self.steps is not None:
            found[STEPS] = self.steps
        if self.group is not None:
            found[GROUP] = self.group
        return found


def taken_out(payload: JsonObject) -> tuple[JsonObject, Metadata]:
    """Return a payload without the key, and what stood under it; odd content counts as none."""
    found = payload.get(KEY)
    rest = {name: value for name, value in payload.items() if name != KEY}
    if not isinstance(found, dict):
        return rest, Metadata()
    progress, namespace = found.get(PROGRESS), found.get("namespace")
    unique, origin = found.get("unique"), found.get(ORIGIN)
    follow_up, parent = found.get("follow_up"), found.get(PARENT)
    schedule, history = found.get(SCHEDULE), found.get(HISTORY)
    steps, group = found.get(STEPS), found.get(GROUP)
    return rest, Metadata(
        checkpoint=found.get(CHECKPOINT),
        progress=progress if isinstance(progress, dict) else None,
        namespace=namespace if isinstance(namespace, str) else "",
        unique=unique if isinstance(unique, str) else "",
        follow_up=follow_up if isinstance(follow_up, str) else "",
        origin=origin if isinstance(origin, dict) else None,
        headers=stored_headers(found.get("headers")) or NONE,
        trace=trace_of(found.get("traceparent"), found.get("tracestate", "")),
        due=_moment(found.get("due")),
        expires=_moment(found.get("expires")),
        parent=parent if isinstance(parent, str) else "",
        schedule=schedule if isinstance(schedule, dict) else None,
        history=history if isinstance(history, dict) else None,
        steps=steps if isinstance(steps, dict) else None,
        group=group if isinstance(group, dict) else None,
    )


def trace_in(payload: JsonObject) -> Trace | None:
    """Return the trace that a payload is of."""
    found = payload.get(KEY)
    if not isinstance(found, dict):
        return None
    return trace_of(found.get("traceparent"), found.get("tracestate", ""))


def with_trace(payload: JsonObject, trace: Trace) -> JsonObject:
    """Return a payload that is of another trace, or comes from another span of it."""
    found = payload.get(KEY)
    kept = dict(found) if isinstance(found, dict) else {}
    kept.pop("tracestate", None)
    return {**payload, KEY: {**kept, **Metadata(trace=trace).content()}}


def joined(payload: JsonObject, metadata: Metadata) -> JsonObject:
    """Return a payload with the key, where there is something to keep."""
    content = metadata.content()
    return {**payload, KEY: content} if content else payload


def after_success(
    payload: JsonObject,
    metadata: Metadata,
    trace: Trace | None = None,
    got: Sequence[str] | str = (),
) -> JsonObject:
    """Return what a successful item keeps: what is still true of it, and of what a chain makes.

    Args:
        trace: from where the trace goes on; None: from where it came.
        got: the fields of the payload that the handler returned, or the one that holds what it
            returned; kept for a group.
    """
    kept = replace(
        metadata,
        checkpoint=None,
        progress=None,
        steps=None,
        due=None,
        expires=None,
        trace=trace or metadata.trace,
        group=None if metadata.group is None else had(metadata.group, got),
    )
    return joined(payload, kept)


def had(mark: JsonObject, got: Sequence[str] | str) -> JsonObject:
    """Return the mark of a group's member that has succeeded."""
    return {**mark, "got": got if isinstance(got, str) else list(got)}


def _moment(found: object) -> float | None:
    number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if number and math.isfinite(found) else None  # type: ignore[arg-type]


def checkpoint_form(state: object, item_id: str) -> Any:
    """Return a checkpoint as JSON values of its own.

    Raises:
        CheckpointError: it would not come back as it is, or is too large.
    """
    try:
        found = json_form(state)
    except NotJson as error:
        raise CheckpointError(f"The checkpoint of item {item_id}: {error}.") from None
    size = len(json_text(found).encode())
    if size > MAX_CHECKPOINT:
        raise CheckpointError(
            f"The checkpoint of item {item_id} has {format_bytes(size)}, more than the"
            f" {format_bytes(MAX_CHECKPOINT)} that is kept in a payload; attach the data as a file"
            " and keep its name."
        )
    return found


def progress_of(share: float, text: str, at: str) -> JsonObject:
    """Return a progress as it is stored.

    Raises:
        CheckpointError: the share is not from 0 to 1.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise CheckpointError(f"progress({share!r}): allowed: 0 to 1, for example 0.4")
    if not isinstance(text, str):
        raise CheckpointError(f"progress({share!r}, {text!r}): allowed: a text beside the share")
    return {
        "share": round(float(share), 4),
        "text": text[:200].encode("utf-8", "replace").decode(),
        "at": at,
    }
