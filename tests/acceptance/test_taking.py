"""What a program has taken is as safe as what a worker has: killed, frozen, cut off, unanswered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.acceptance.clients import CLIENTS, with_both
from tests.acceptance.outsider import Outsider
from tests.acceptance.points import HANDLING
from tests.acceptance.processes import WAIT, Worker, until
from tests.acceptance.proxy import updates
from tests.acceptance.stage import Stage

PROGRAMS = dict(zip(CLIENTS, ("sync", "async"), strict=True))
"""How the program of each client is written, in the quick tests."""


@asynccontextmanager
async def in_its_block(
    client: str, folder: Path, *, items: int = 1, maxretries: int = 5
) -> AsyncIterator[tuple[Stage, Outsider, Worker, list[str]]]:
    """Give a program that is in the block of one of some items, and waits there."""
    async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue(HANDLING, maxretries=maxretries)
        stage.points.arm(HANDLING)
        program = stage.worker("a", HANDLING, plan={"take": PROGRAMS[client]})
        await program.started()
        pushed = await outsider.push(HANDLING, [{"n": n} for n in range(items)])
        await until("it is in its block", lambda: stage.points.reached(HANDLING), WAIT)
        yield stage, outsider, program, pushed


async def test_an_item_of_a_killed_program_is_worked_by_a_worker_or_its_next_life(
    tmp_path: Path,
) -> None:
    async def body(client: str, folder: Path) -> None:
        async with in_its_block(client, folder, maxretries=2) as (stage, _, program, pushed):
            await program.kill()
            stage.points.let_go(HANDLING)
            if client == "native":
                await stage.worker("b", HANDLING).start()
            else:
                await program.start()
            books = await stage.settled(HANDLING, pushed)
            assert (books.successful, books.runs) == (1, (2,))

    await with_both(body, tmp_path)


@pytest.mark.dear
async def test_a_program_that_was_frozen_for_long_does_not_overwrite_its_successor(
    tmp_path: Path,
) -> None:
    async def body(client: str, folder: Path) -> None:
        async with in_its_block(client, folder) as (stage, outsider, slow, (item,)):

            async def claimed() -> bool:
                found = await outsider.query("openiap_workers", {"_type": "worker"})
                return any(claim["id"] == item for one in found for claim in one["items"])

            await until("the program claims the item", claimed, WAIT, tell=slow.tail)
            slow.freeze()
            quick = stage.worker("b", HANDLING)
            await quick.started()
            assert (await stage.settled(HANDLING, [item])).successful == 1
            stage.points.let_go(HANDLING)
            slow.thaw()
            await until(
                "the program is told that another has it",
                lambda: [note["state"] for note in stage.journal.notes("left")] == ["lost"],
                WAIT,
                tell=slow.tail,
            )
            (document,) = await outsider.items(HANDLING)
            assert document["payload"]["by"] == quick.pid

    await with_both(body, tmp_path)


@pytest.mark.dear
@pytest.mark.parametrize("how", ["cut", "unanswered"])
async def test_a_link_that_breaks_while_a_block_is_left_costs_nothing(
    how: str, tmp_path: Path
) -> None:
    async def body(client: str, folder: Path) -> None:
        async with in_its_block(client, folder, items=3) as (stage, _, program, pushed):
            lost = None
            if how == "cut":
                stage.proxy.refuse()
            else:
                lost = stage.proxy.tap(
                    "updateworkitem", "reply", match=updates(HANDLING), act="drop"
                )
            stage.points.let_go(HANDLING)
            if lost is None:
                await until("the block has ended", lambda: bool(stage.journal.notes("end")), WAIT)
                stage.proxy.restore()
            books = await stage.settled(HANDLING, pushed)
            assert (books.successful, books.runs) == (3, (1, 1, 1))
            assert lost is None or lost.count == 1
            await until(
                "every block is left",
                lambda: [n["state"] for n in stage.journal.notes("left")] == ["successful"] * 3,
                WAIT,
                tell=program.tail,
            )

    await with_both(body, tmp_path)


@pytest.mark.dear
async def test_a_program_that_is_told_to_end_gives_its_item_back(tmp_path: Path) -> None:
    """As the page has it: SIGTERM raises, as Ctrl-C does."""

    async def body(client: str, folder: Path) -> None:
        async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
            await outsider.queue(HANDLING, maxretries=5)
            stage.points.arm(HANDLING)
            program = stage.worker("a", HANDLING, plan={"take": "async"})
            await program.started()
            await outsider.push(HANDLING, [{}])
            await until("it is in its block", lambda: stage.points.reached(HANDLING), WAIT)
            program.terminate()
            assert await program.ended(WAIT) == 0
            (document,) = await outsider.items(HANDLING)
            assert (document["state"], document["retries"]) == ("new", 0)
            assert [note["state"] for note in stage.journal.notes("left")] == []

    await with_both(body, tmp_path)


@pytest.mark.dear
async def test_items_of_lost_pops_are_taken_after_unclaimed_after(tmp_path: Path) -> None:
    async def body(client: str, folder: Path) -> None:
        async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
            await outsider.queue("items", maxretries=5)
            await outsider.faults(lose_pop_replies=2)
            pushed = await outsider.push("items", [{"n": n} for n in range(6)])
            program = stage.worker(
                "a",
                "items",
                plan={"take": PROGRAMS[client]},
                call_timeout=1.0,
                watchdog_interval=60,
            )
            await program.started()
            books = await stage.settled("items", pushed)
            assert (books.successful, books.runs) == (6, (1,) * 6)

    await with_both(body, tmp_path)
