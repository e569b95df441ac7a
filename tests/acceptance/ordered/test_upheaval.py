"""Keys and rates while workers die and the server restarts; the long form is in ``long.py``."""

from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.ordered.keyed import SINGLE
from tests.acceptance.ordered.upheaval import HEAD, MODULE, Order, Upheaval, row, upset
from tests.acceptance.processes import WAIT, until
from tests.acceptance.results import table, write_section
from tests.acceptance.stage import Stage

FOR_EVER = 3600
DONE: dict[str, Order] = {}


@pytest.mark.dear
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


@pytest.mark.dear
@both_clients
async def test_a_frozen_holder_comes_back_and_harms_nothing(client: str, tmp_path: Path) -> None:
    async with Stage(tmp_path, client=client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue(SINGLE, maxretries=5)
            pushed = await outsider.push(
                SINGLE,
                [
                    {"key": "a", "n": n, "seconds": 0.05, **({} if n else {"first": FOR_EVER})}
                    for n in range(4)
                ],
            )
        frozen, other = (
            stage.worker(
                f"w{n}",
                SINGLE,
                plan={"module": MODULE},
                max_deaths=50,
                dead_after=5.0,  # longer than a machine halts
            )
            for n in (1, 2)
        )
        await frozen.started()
        await until("the first item begins", lambda: bool(stage.journal.notes("start")), WAIT)
        await other.started()
        frozen.freeze()

        def others_went_on() -> bool:
            return any(note["pid"] == other.pid for note in stage.journal.notes("start"))

        # Its item was taken over, and its key with it.
        await until("another runs an item of the key", others_went_on, WAIT, tell=other.tail)
        frozen.thaw()
        books = await stage.settled(SINGLE, pushed)

        def own() -> list[str]:
            notes = stage.journal.notes("start", "end", "stopped")
            return [n["event"] for n in notes if n["pid"] == frozen.pid and n["n"] == 0]

        # What it had in hand is stopped, and does not come to its end a second time.
        await until("it notices", lambda: len(own()) > 1, WAIT, tell=frozen.tail)
        assert own()[:2] == ["start", "stopped"], own()
        assert (books.successful, books.lost, books.stuck, books.failed) == (4, 0, 0, 0)
        notes = stage.journal.notes("start", "end", "stopped")
        # All the others ran one after another.
        rest = [note for note in notes if note["n"] != 0]
        assert [note["event"] for note in rest] == ["start", "end"] * 3
