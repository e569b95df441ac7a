"""Misfits: documents of others that do not fit; each kind is named once in a while, all count."""

from typing import Final

from worker.item.error_text import clip
from worker.kinds import with_article
from worker.openiap.fields import Misfit
from worker.telemetry.log import Log

MOST_SHOWN: Final = 200


class Misfits:
    """Is called with each misfit; never raises."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.count = 0
        """How many there were since the start; a document counts each time it is read."""

    def __call__(self, misfit: Misfit) -> None:
        self.count += 1
        self._log.once_a_while(
            f"misfit {misfit.kind}",
            f"{with_article(misfit.kind)} does not fit and is passed over:"
            f" {clip(misfit.why, MOST_SHOWN)}",
            document=clip(misfit.id, MOST_SHOWN),
        )
