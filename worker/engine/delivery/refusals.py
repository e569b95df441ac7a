"""What becomes of an outcome that the server refuses, or that this machine cannot read.

1. A refusal is not believed at once: the server's database may be away for a while, and it may have
   written all the same (an unknown chain target does), so the item is read before the outcome is
   sent again.
2. One that lasts ends the item as failed, with the refusal as its error.
3. What this machine cannot read for as long is its own fault: the item is handed back.
"""

from collections.abc import Callable
from typing import Final, NoReturn

from worker.engine.delivery.delivery import Delivered, Delivery
from worker.errors import WorkerError
from worker.item.outcome import NOTHING_RAISED, Outcome, released
from worker.openiap.connection import LinkLog
from worker.openiap.errors import LocalFileError, OpenIAPError, PayloadTooLarge
from worker.openiap.values import json_text

PATIENCE: Final = 600.0
OVERDUE_AFTER: Final = 30.0


class NotYet(WorkerError):
    """This attempt to send did not do; the next one may."""

    def __init__(self, error: OpenIAPError) -> None:
        super().__init__(str(error))


class Refusals:
    """Of one worker's outcomes.

    Args:
        worker_id: for what is said of this machine.
        patience: seconds for which an outcome may be refused before that is believed.
        clock: seconds that go on while the machine sleeps.
    """

    def __init__(
        self, worker_id: str, *, patience: float, clock: Callable[[], float], log: LinkLog
    ) -> None:
        self._worker_id = worker_id
        self._patience = patience
        self._clock = clock
        self._log = log

    def refused(self, delivery: Delivery, error: OpenIAPError) -> Delivered:
        """The server said no; return how that ends the delivery.

        Raises:
            NotYet: it is to be sent again, as it is or as the failure that it became.
        """
        delivery.sent = True
        if not delivery.patient:
            return Delivered("refused", error.text)
        refused_for = self._held_up_for(delivery)
        if refused_for < (0.0 if isinstance(error, PayloadTooLarge) else self._patience):
            raise NotYet(error)
        if delivery.given_up or delivery.outcome.kind == "released":
            return Delivered("refused", error.text)
        self._log.error(
            f"the server refuses the outcome, the item ends as failed: {error.text}",
            item=delivery.workitem.id,
            payload_bytes=len(json_text(delivery.outcome.payload or {})),
        )
        delivery.outcome = Outcome(
            "failed",
            None,
            f"OpenIAP refused the outcome of the handler: {error.text}",
            NOTHING_RAISED,
        )
        delivery.uploaded, delivery.unfit = None, False
        delivery.given_up = True
        delivery.refused_since = None
        raise NotYet(error)

    def unreadable(self, delivery: Delivery, error: LocalFileError) -> NoReturn:
        """This machine cannot read what is to be sent: in the end the item is worked elsewhere.

        Raises:
            NotYet: always.
        """
        if self._held_up_for(delivery) >= self._patience:
            text = f"worker {self._worker_id} cannot read what is to be sent: {error.text}"
            self._log.error(f"{text}; the item is handed back", item=delivery.workitem.id)
            delivery.outcome, delivery.refused_since = released(text), None
        raise NotYet(error)

    def _held_up_for(self, delivery: Delivery) -> float:
        """Return for how many seconds an outcome cannot be sent; for long, it holds no slot."""
        now = self._clock()
        if delivery.refused_since is None:
            delivery.refused_since = now
        held_up = now - delivery.refused_since
        after = OVERDUE_AFTER if delivery.overdue_after is None else delivery.overdue_after
        if held_up >= after and delivery.on_overdue is not None:
            delivery.on_overdue()
        return held_up
