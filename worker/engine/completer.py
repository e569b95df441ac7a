"""The completer: sees an outcome through, from the disk to the server and to whoever is told.

1. The outcome is on disk before it is sent. Its item may hold no slot any more meanwhile.
2. It is sent until the server has it, or has refused it for good.
3. Follow-up items are pushed before the item's row leaves the outbox; those that the server refuses
   for good stay as evidence, are counted, and are named on the item.
4. Outbox, spool and counts are brought up to date, then the hooks are told.
5. Last of all it is seen whether the item was the last of its group.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from worker.engine.delivery.delivery import Delivered, Delivery, has_ended, succeeded
from worker.engine.delivery.follow_ups import FollowUps, Unpushed, shown
from worker.engine.delivery.settlement import follow_up, settle
from worker.engine.groups import Groups
from worker.engine.in_flight import Running
from worker.engine.item_events import ItemEvents
from worker.engine.item_log import ItemLog
from worker.engine.outbox.outbox import Outbox
from worker.engine.outbox.spool import Spool
from worker.item.outcome import Outcome
from worker.openiap.workitem import FAILED
from worker.telemetry.counts import Counts
from worker.telemetry.histograms import times_of
from worker.telemetry.log import Log
from worker.uptime import uptime


class OutcomeSender(Protocol):
    """Sends outcomes; in a worker that is its ``WriteBack``."""

    async def deliver(self, delivery: Delivery) -> Delivered:
        """Send until accepted or refused for good; ends early only by cancellation."""


class Completer:
    """Completes the items of one worker.

    Args:
        outbox: None where the disk does not take it.
        followups: pushes what succeeded items asked for; None where nothing is pushed.
        item_log: says what became of each item; None where nobody reads it.
        history: whether the items' timelines are kept.
        groups: told of members of groups that have ended.
        on_waits: told of each item that was put back to wait for a signal, and of the signals that
            it is done with.
    """

    def __init__(
        self,
        sender: OutcomeSender,
        *,
        outbox: Outbox | None,
        spool: Spool,
        followups: FollowUps | None = None,
        counts: Counts,
        log: Log,
        item_log: ItemLog | None = None,
        history: bool = False,
        groups: Groups | None = None,
        on_waits: Callable[[str, Sequence[str]], None] = lambda item, past: None,
    ) -> None:
        self.outbox: Final = outbox
        self.spool: Final = spool
        self._sender = sender
        self._followups = followups
        self._counts = counts
        self._log = log
        self._item_log = item_log
        self._history = history
        self._groups = groups
        self._on_waits = on_waits

    async def complete(
        self, running: Running, outcome: Outcome, events: ItemEvents | None = None
    ) -> Delivered:
        """Record an outcome and send it until it is accepted or refused for good.

        Args:
            events: who is told of it; None where nobody listens.
        """
        running.stage = "delivering"
        workitem = running.workitem
        span = running.span if outcome.waits is None else None  # one that waits was not worked
        if span is not None:
            span.end(outcome, running.failed_as)
        if self._history and running.failed_as:
            outcome = replace(outcome, error_class=running.error_class or running.failed_as)
        if self.outbox is not None:
            if outcome.kind != "released" and self.outbox.healthy:
                running.leave()
            large = running.large and outcome.payload is not None and outcome.written is None
            ran = running.ran if self._history else None
            await self.outbox.finished(workitem.id, workitem.retries, outcome, large=large, ran=ran)
        attached = outcome.attachments
        delivery = Delivery(
            workitem,
            outcome,
            running.popped,
            running.epoch,
            on_overdue=running.become_overdue,
            copy_of=running.copy_of,
            ran=running.ran,
            steps_apart=running.steps_apart,
        )
        settling = None if span is None else span.settle()
        delivered = await self._sender.deliver(delivery)
        if settling is not None:
            settling.end(delivered.result, delivered.state)
        if outcome is not delivery.outcome:  # the sender puts another in its place where it must
            outcome = delivery.outcome
            running.failed_as = outcome.code or running.failed_as
        unpushed: Sequence[Unpushed] = ()
        if outcome.pushes and self._followups is not None and succeeded(outcome, delivered):
            unpushed = await follow_up(
                self._followups, workitem, outcome, self.outbox, on_overdue=running.become_overdue
            )
            delivered = replace(delivered, unpushed=shown(unpushed))
        self._settle(running, outcome, delivered, unpushed)
        if attached:
            self.spool.discard_outputs(workitem.id, workitem.retries)
        if events is not None:
            error, running.error = running.error, None
            took = uptime() - running.popped
            await events.notify(workitem, running.item, error, took, outcome, delivered)
        if running.group and self._groups is not None and has_ended(outcome, delivered):
            await self._groups.ended(running.group)
        return delivered

    def _settle(
        self,
        running: Running,
        outcome: Outcome,
        delivered: Delivered,
        unpushed: Sequence[Unpushed],
    ) -> None:
        workitem, took = running.workitem, uptime() - running.popped
        if self.outbox is not None:
            settle(self.outbox, workitem, outcome, delivered, unpushed)
        for _ in unpushed:
            self._counts.unpushed(workitem.wiq)
        if outcome.waits is not None and delivered.result == "applied":
            self._counts.parked(workitem.wiq)
            if outcome.waits.signals:
                self._on_waits(workitem.id, outcome.waits.past)
        else:
            # An application error ends as failed when the queue's attempts are used up.
            ended = outcome.kind == "application" and delivered.state == FAILED
            kind = "failed" if ended else outcome.kind
            self._counts.finished(
                workitem.wiq,
                kind,
                delivered.result,
                took,
                error=running.failed_as,
                times=times_of(
                    workitem,
                    popped_at=running.popped_at,
                    since=took,
                    ran=running.ran,
                    due=running.due,
                    for_good=ended or outcome.kind != "application",
                ),
                trace=running.trace,
            )
        if self._item_log is not None:
            self._item_log.finished(running, outcome, delivered, took)
        if delivered.result == "gone":
            self._log.warn(
                "the item is gone; its outcome has nowhere to go",
                item=workitem.id,
                queue=workitem.wiq,
                outcome=outcome.kind,
            )
