"""Keys and rates while workers die and the server restarts; the long form is in ``long.py``."""

import asyncio
from pathlib import Path

from tests.acceptance.clients import both_clients
from tests.acceptance.ordered.keyed import SINGLE
from tests.acceptance.ordered.upheaval import HEAD, MODULE, Order, Upheaval, row, upset
from tests.acceptance.processes import until
from tests.acceptance.results import table, write_section
from tests.acceptance.stage import Stage

DONE: dict[str, Order] = {}


@both_clients
async def test_keys_and_rates_hold_through_kills_and_restarts(client: str, tmp_path: Path) -> None:
    order = await upset(
        Upheaval(client, workers=2, items=120, seconds=14, every=3, restarts=2), tmp_path
    )
    assert order.faults() == []
    assert order.done["kills"] >= 3
    DONE[client] = order
    if len(DONE) == 2:
        write_section("Keys and rates", table(HEAD, [row(DONE[name]) for name in sorted(DONE)]))


@both_clients
async def test_a_frozen_holder_comes_back_and_harms_nothing(client: str, tmp_path: Path) -> None:
    async with Stage(tmp_path, client=client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue(SINGLE, maxretries=5)
            pushed = await outsider.push(
                SINGLE, [{"key": "a", "n": n, "seconds": 8 if n == 0 else 0.05} for n in range(4)]
            )
        frozen, other = (
            stage.worker(f"w{n}", SINGLE, plan={"module": MODULE}, max_deaths=50) for n in (1, 2)
        )
        await frozen.started()
        await until("the first item begins", lambda: bool(stage.journal.notes("start")), 30)
        await other.started()
        frozen.freeze()

        def others_went_on() -> bool:
            return any(note["pid"] == other.pid for note in stage.journal.notes("start"))

        # Its item was taken over, and its key with it.
        await until("another runs an item of the key", others_went_on, 60, tell=other.tail)
        frozen.thaw()
        await asyncio.sleep(0)
        books = await stage.settled(SINGLE, pushed, 60)
        assert (books.successful, books.lost, books.stuck, books.failed) == (4, 0, 0, 0)
        notes = stage.journal.notes("start", "end", "stopped")
        # What it had in hand was stopped, and did not come to its end a second time.
        own = [note["event"] for note in notes if note["pid"] == frozen.pid and note["n"] == 0]
        assert own[:2] == ["start", "stopped"], own
        # All the others ran one after another.
        rest = [note for note in notes if note["n"] != 0]
        assert [note["event"] for note in rest] == ["start", "end"] * 3
