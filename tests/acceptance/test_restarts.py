"""Many items, a handler that raises by chance, a server that restarts: every state is explained."""

from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.processes import WAIT, until
from tests.acceptance.stage import Stage

ITEMS = 500
ATTEMPTS = 3


@pytest.mark.dear
@both_clients
async def test_every_item_ends_as_its_attempts_say_through_two_restarts_of_the_server(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue("items", maxretries=ATTEMPTS)
            payloads = [{"n": n, "seconds": 0.01, "failing": 0.3} for n in range(ITEMS)]
            pushed = await outsider.push("items", payloads)
        worker = stage.worker("a", "items")
        await worker.started()
        for share in (ITEMS // 4, ITEMS // 2):

            def reached(share: int = share) -> bool:
                return len(stage.journal.notes("end")) > share

            await until("some are done", reached, 2 * WAIT, tell=worker.tail)
            await stage.server.restart()
        books = await stage.settled("items", pushed)
        async with stage.outsider() as outsider:
            documents = {one["_id"]: one for one in await outsider.items("items")}
    assert (books.lost, books.stuck, books.outcomes) == (0, 0, ITEMS)
    done = {note["item"] for note in stage.journal.notes("end")}
    raised = Counter(note["item"] for note in stage.journal.notes("raise"))
    starts = Counter(note["item"] for note in stage.journal.notes("start"))
    for item, document in documents.items():
        assert document["state"] == ("successful" if item in done else "failed"), document
        assert starts[item] == raised[item] + (item in done), "no run was repeated or given up"
        # A pop whose reply was lost with the server costs an attempt without a run.
        spent = document["retries"] + 1
        assert raised[item] + (item in done) <= spent <= ATTEMPTS
        if document["state"] == "failed":
            assert spent == ATTEMPTS
