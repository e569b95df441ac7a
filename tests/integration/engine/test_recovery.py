"""What an earlier life left is settled before the first pop."""

from datetime import UTC, datetime
from pathlib import Path

from tests.integration.engine.conftest import create_queue, until_finished
from worker import handler
from worker.engine.outbox.outbox import Outbox
from worker.engine.outbox.spool import Spool
from worker.item.outcome import Outcome


async def test_a_dead_siblings_outcome_is_sent_with_its_files(client, settings, start) -> None:
    called = []

    @handler("q")
    async def work(payload: dict) -> None:
        called.append(payload)

    await create_queue(client, "q")
    await client.push_workitem("q", {"n": 1})
    item = await client.pop_workitem("q")
    assert item is not None
    folder: Path = settings.state_dir
    sibling = await Outbox.open(folder, "sibling", sync="normal", keep_evidence_days=1)
    kept = Spool(folder / "spool" / "sibling").keep(b"result", "out.txt", item.id, item.retries)
    await sibling.popped(item, datetime.now(UTC))
    outcome = Outcome("successful", {"n": 1, "ok": True}, attachments=(("out.txt", str(kept)),))
    await sibling.finished(item.id, item.retries, outcome)
    await sibling.close()

    await start(work, worker_id="other")
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"
    assert done["payload"] == {"n": 1, "ok": True}
    assert [f["filename"] for f in done["files"]] == ["out.txt"]
    assert not called
    assert list((folder / "spool" / "other").rglob("out.txt")) == []


async def test_an_item_that_was_in_flight_is_put_back_without_an_attempt(
    client, settings, start
) -> None:
    @handler("q")
    async def work(payload: dict) -> None: ...

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    item = await client.pop_workitem("q")
    assert item is not None
    earlier = await Outbox.open(settings.state_dir, "me", sync="normal", keep_evidence_days=1)
    await earlier.popped(item, datetime.now(UTC))
    await earlier.close()

    await start(work, worker_id="me")
    (done,) = await until_finished(client, "q")
    assert done["state"] == "successful"
    assert done["retries"] == 0
    if client.capabilities.conditional_updates:
        assert "errormessage" not in done, "a success sheds what was said of the run before"
    else:
        assert "worker me had this item" in done["errormessage"]
