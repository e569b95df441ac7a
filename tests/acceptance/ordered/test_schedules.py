"""No tick twice and none missed, whoever dies or freezes."""

import time
from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.ordered.dying import Dying
from tests.acceptance.ordered.schedules import (
    HEAD,
    caught_up,
    counted,
    row,
    tick_while_dying,
    ticking,
)
from tests.acceptance.ordered.ticking import QUEUE
from tests.acceptance.results import kept_rows, table, write_section
from tests.acceptance.stage import Stage

WORKERS, SECONDS = 3, 15.0


@pytest.mark.dear
@both_clients
async def test_no_tick_is_lost_or_doubled_while_workers_and_server_die(
    client: str, tmp_path: Path
) -> None:
    dying = Dying(client, WORKERS, SECONDS, restarts=2)
    books = await tick_while_dying(dying, tmp_path)
    assert books.faults() == []
    assert books.items == books.wanted > SECONDS
    assert (books.restarts, books.kills > 2) == (2, True)
    rows = [*kept_rows("Schedules", 0, [client]), row(dying, books)]
    write_section("Schedules", table(HEAD, sorted(rows, key=str)))


@pytest.mark.dear
@both_clients
async def test_a_leader_that_was_frozen_comes_back_and_harms_nothing(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue(QUEUE)
        leader, other = (ticking(stage, name, dead_after=2.0) for name in "ab")
        await leader.started()
        await caught_up(outsider, time.time() + 1, stage.workers)
        await other.started()
        leader.freeze()
        # The other steps in, and what the leader did is cleaned away meanwhile.
        await caught_up(outsider, time.time() + 2, stage.workers)
        ended = [i for i in await outsider.items(QUEUE) if i["state"] == "successful"]
        gone = {item["_id"] for item in ended}
        # How far a round has come is stored at its end: later ticks are of a later one.
        await caught_up(outsider, time.time() + 1, stage.workers)
        await outsider.delete("workitems", sorted(gone))
        leader.thaw()
        end = time.time() + 4
        await caught_up(outsider, end, stage.workers)
        items = await outsider.items(QUEUE)
        books = await counted(outsider, end)
    assert gone
    assert gone & {item["_id"] for item in items} == set(), "nothing comes again"
    assert books.doubled == []
    assert len(books.missed) == len(gone), "nothing else is missing"
