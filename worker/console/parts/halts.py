"""What keeps queues from being popped: pauses and open breakers, told on several pages."""

from collections.abc import Sequence

from worker.console.parts.boxes import badge, box
from worker.console.parts.texts import link, text, url_of
from worker.console.parts.times import moment
from worker.management.queues.breakers import BreakerResponse
from worker.management.queues.types import QueueResponse


def pauses(queues: Sequence[QueueResponse]) -> None:
    """Show the queues that are paused, by whom and why."""
    with box("list"):
        for queue in queues:
            if queue.paused is None:
                continue
            with box():
                link(queue.name, url_of("/queue", name=queue.name))
                badge("paused", "wait")
                with box("quiet"):
                    text(
                        f"by {queue.paused.by or 'somebody'}: {queue.paused.reason or 'no reason'}"
                    )
                    if queue.paused.until is not None:
                        text(", ends ")
                        moment(queue.paused.until)
    if not any(queue.paused for queue in queues):
        text("No queue is paused.", "p", "quiet")


def breakers(found: Sequence[BreakerResponse]) -> None:
    """Show the breakers that are open, or forced to be something."""
    open_ = [one for one in found if one.stands != "popped" or one.forced is not None]
    if not open_:
        text("No breaker is open.", "p", "quiet")
        return
    with box("list"):
        for breaker in open_:
            with box():
                text(breaker.name, "b")
                badge(breaker.forced or breaker.stands, "bad")
                with box("quiet"):
                    link(breaker.queue, url_of("/queue", name=breaker.queue))
                    text(f" · {breaker.why}" if breaker.why else "")
