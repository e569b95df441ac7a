"""What is left to do once the server has said what it makes of an outcome.

1. The follow-up items of a success are pushed; which of them are left is on disk meanwhile.
2. The outbox's row goes, or stays as evidence of what the server refused for good.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from worker.engine.delivery.delivery import Delivered
from worker.engine.delivery.follow_ups import OVERDUE_AFTER, FollowUps, Unpushed, shown
from worker.engine.outbox.outbox import Outbox
from worker.item.new_item import FollowUp
from worker.item.outcome import Outcome
from worker.openiap.workitem import Workitem


async def follow_up(
    followups: FollowUps,
    workitem: Workitem,
    outcome: Outcome,
    outbox: Outbox | None,
    *,
    on_overdue: Callable[[], None],
    overdue_after: float = OVERDUE_AFTER,
) -> Sequence[Unpushed]:
    """Push the follow-up items of an outcome that the server has; ends early by cancellation alone.

    Args:
        outbox: told of what is left meanwhile: this process may die, and its next life is to push
            what was not pushed, whatever has become of the item by then.
        on_overdue, overdue_after: see ``FollowUps.deliver``.

    Returns:
        Those that the server refuses for good; the item is told of them.
    """

    def left(pushes: Sequence[FollowUp]) -> None:
        if outbox is not None:
            kept = replace(outcome, pushes=tuple(pushes))
            outbox.accepted(workitem.id, workitem.retries, kept)

    unpushed = await followups.deliver(
        outcome.pushes, on_overdue=on_overdue, on_left=left, overdue_after=overdue_after
    )
    if unpushed:
        await followups.tell(workitem, unpushed)
    return unpushed


def settle(
    outbox: Outbox,
    workitem: Workitem,
    outcome: Outcome,
    delivered: Delivered,
    unpushed: Sequence[Unpushed],
) -> None:
    """Let a row go, or keep what the server refused for good as evidence."""
    if unpushed:
        kept = replace(outcome, pushes=tuple(one.push for one in unpushed))
        outbox.refused(workitem.id, workitem.retries, shown(unpushed), kept)
    elif delivered.result == "applied":
        outbox.delivered(workitem.id, workitem.retries)
    else:
        outbox.refused(workitem.id, workitem.retries, delivered.reason)
