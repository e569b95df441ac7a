"""Which attempt of which item: what outbox, fleet and key lock tell attempts apart by."""

from worker.openiap.workitem import Workitem

AttemptId = tuple[str, int]
"""The item's id and its ``retries``: every retry and every take-over raises that number."""


def attempt_id(workitem: Workitem) -> AttemptId:
    """Return which attempt a popped item is."""
    return (workitem.id, workitem.retries)
