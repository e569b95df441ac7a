"""What is left of an attempt once its outcome is delivered."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.engine.completer import Completer
from worker.engine.delivery.delivery import Delivered, Delivery
from worker.engine.in_flight import Running
from worker.engine.outbox.spool import Spool
from worker.item.outcome import Outcome
from worker.openiap.workitem import Workitem
from worker.telemetry.counts import Counts
from worker.telemetry.log import Log
from worker.uptime import uptime


class Server:
    """Takes every outcome, or ends it as failed as the write-back does with one that is refused."""

    def __init__(self, refuses: bool) -> None:
        self.refuses = refuses

    async def deliver(self, delivery: Delivery) -> Delivered:
        if self.refuses:
            delivery.outcome = Outcome("failed", None, "OpenIAP refused the outcome")
        return Delivered("applied", state=delivery.outcome.state)


@pytest.mark.parametrize("refuses", [True, False])
async def test_no_copy_of_an_attachment_outlives_its_outcome(tmp_path: Path, refuses: bool) -> None:
    spool, log = Spool(tmp_path), Log("error")
    kept = spool.keep(b"content", "a.txt", "1", 0)
    completer = Completer(Server(refuses), outbox=None, spool=spool, counts=Counts(), log=log)
    running = Running(Workitem(id="1", wiq="q"), uptime(), datetime.now(UTC), 1)
    outcome = Outcome("successful", {}, attachments=(("a.txt", str(kept)),))
    assert (await completer.complete(running, outcome)).result == "applied"
    assert not kept.exists()
