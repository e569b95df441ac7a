"""A result, of an item or of a group, that does not come, or not in time."""

from typing import Final

from worker.durations import text as duration_text
from worker.errors import WorkerError

GONE: Final = "deleted"
"""The state of an item that is not there."""


class ResultTimeout(WorkerError, TimeoutError):
    """No outcome in time; the item goes on, and ``result`` can be asked again."""


def timed_out(item_id: str, queue: str, timeout: float, state: str) -> ResultTimeout:
    """Return the error of a result that did not come."""
    item = f"item {item_id} of {queue}" if queue else f"item {item_id}"
    known = f" (state {state or 'unknown'})"
    if state == GONE:
        known = ": it was deleted, was never there, or this user has no rights on it"
    return ResultTimeout(f"{item} has no outcome after {duration_text(timeout)}{known}")
