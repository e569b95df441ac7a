"""A result, of an item or of a group, that does not come, or not in time."""

from typing import Final

from worker.durations import text as duration_text
from worker.errors import WorkerError
from worker.openiap.errors import ItemNotFound

GONE: Final = "deleted"
"""The state of an item that is not there."""
WHY_GONE: Final = "it was deleted, was never there, or this user has no rights on it"


class ResultTimeout(WorkerError, TimeoutError):
    """No outcome in time; the item goes on, and ``result`` can be asked again."""


def timed_out(what: str, timeout: float, state: str) -> ResultTimeout:
    """Return the error of a result that did not come."""
    known = f": {WHY_GONE}" if state == GONE else f" (state {state or 'unknown'})"
    return ResultTimeout(f"{what} has no outcome after {duration_text(timeout)}{known}")


def not_there(item_id: str, queue: str) -> ItemNotFound:
    """Return the error of a result that cannot come."""
    error = ItemNotFound(f"{called(item_id, queue)} has no outcome: {WHY_GONE}", operation="result")
    error.item_id = item_id  # for programs: the text has it already
    return error


def called(item_id: str, queue: str) -> str:
    """Return what errors call an item, whose queue may not be known."""
    return f"item {item_id} of {queue}" if queue else f"item {item_id}"
