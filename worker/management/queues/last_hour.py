"""The last hour of a queue, out of what its workers keep of theirs in their documents. Pure.

The one place that reads it; workers that keep nothing are left out.
"""

from collections.abc import Sequence

from worker.management.queues.types import LastHourResponse
from worker.openiap.workitem import JsonObject


def last_hour(workers: Sequence[JsonObject], queue: str) -> LastHourResponse | None:
    """Return what the workers of a queue did in the last hour; None where none of them tells.

    Args:
        workers: documents of workers, those that are gone among them.
    """
    return None
