"""Two versions share a queue and a state directory while a fleet is replaced, forth and back."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance import nextversion
from tests.acceptance.clients import both_clients
from tests.acceptance.processes import WAIT, Worker, until
from tests.acceptance.stage import Stage
from worker.engine.outbox.outbox import Outbox

ITEMS = 160
MORE = 8
"""One worker has slots for half of them, so each of two gets some."""


@pytest.mark.dear
@both_clients
async def test_workers_of_two_versions_take_over_from_each_other(
    client: str, tmp_path: Path
) -> None:
    state, killed = tmp_path / "state", tmp_path / "killed"
    async with Stage(tmp_path, client=client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue("items", maxretries=10)
            pushed = await outsider.push("items", [{"seconds": 0.1}] * ITEMS)
            # An item may be in flight in all three of the deaths, and is no poison for that.
            alike = {"state_dir": str(state), "max_deaths": 10}
            one = stage.worker("one", "items", **alike)
            two = stage.worker("two", "items", **alike)
            two.plan["version"] = nextversion.VERSION
            await one.started()
            await two.started()
            found = await outsider.query("openiap_workers", {"_type": "worker"})
            assert {(w["_id"], w["version"], w["schema"]) for w in found} == {
                ("one", "test", 1),
                ("two", nextversion.VERSION, nextversion.SCHEMA),
            }

        async def exchange(worker: Worker, version: str, done: int) -> None:
            """Kill a worker amid its items and start the other version in its place."""

            def reached() -> bool:
                return len(stage.journal.notes("end")) >= done

            await until("some are done", reached, 2 * WAIT, tell=worker.tail)
            await worker.kill()
            worker.plan["version"] = version
            await worker.started()

        await exchange(one, nextversion.VERSION, ITEMS // 5)  # upgraded
        await exchange(two, "test", 2 * ITEMS // 5)  # gone back
        # A neighbour of the other version sees to what is left of one that does not come back.
        async with stage.outsider() as outsider:
            more = await outsider.push("items", [{"until": str(killed)}] * MORE)
        pushed += more

        def amid() -> bool:
            """Tell whether it has items that will not end before it does."""
            begun = [note for note in stage.journal.notes("start") if note["item"] in more]
            return any(note["pid"] == two.pid for note in begun)

        await until("it has items again", amid, WAIT, tell=two.tail)
        await two.kill()
        killed.touch()
        books = await stage.settled("items", pushed)
        # What lies in its outbox goes when a worker with the same state directory starts.
        assert Outbox.adoptable(state) == ["two"]
        await one.kill()
        await one.started()
        await until("it is adopted", lambda: not Outbox.adoptable(state), WAIT, tell=one.tail)
    assert (books.lost, books.stuck, books.successful) == (0, 0, ITEMS + MORE)
    with closing(sqlite3.connect(state / "two.outbox.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (nextversion.LEDGER,)
