"""Items in flight when workers die: the one that kills fails, the others lose nothing."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.outsider import Outsider
from tests.acceptance.processes import WAIT, Worker, until
from tests.acceptance.stage import Stage

INNOCENT = {"seconds": 1.0}
DEADLY = {"seconds": 0.3, "deadly": True}
MOST_DEATHS = 5
"""That one deadly item costs."""


async def kept_alive(workers: list[Worker], done: asyncio.Event) -> int:
    """Start workers again that die, as what runs them does; returns how often that was."""
    deaths = 0
    while not done.is_set():
        for worker in workers:
            if not worker.alive:
                deaths += 1
                await worker.start()
        await asyncio.sleep(0.1)
    return deaths


async def worked(
    stage: Stage, outsider: Outsider, workers: list[Worker], payloads: list[dict[str, object]]
) -> tuple[int, dict[str, tuple[str, int]]]:
    """Work items to the end; returns the workers' deaths and what became of each item."""
    done = asyncio.Event()
    for worker in workers:
        await worker.started()
    alive = asyncio.create_task(kept_alive(workers, done))
    pushed = await outsider.push("many", payloads)
    await stage.settled("many", pushed, 3 * WAIT)
    done.set()
    found = {one["_id"]: (one["state"], one["retries"]) for one in await outsider.items("many")}
    return await alive, {item: found[item] for item in pushed}


@pytest.mark.dear
@both_clients
async def test_of_the_items_beside_two_deadly_ones_none_fails_or_loses_an_attempt(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("many", maxretries=2)
        payloads = [INNOCENT] * 3 + [DEADLY] + [INNOCENT] * 6 + [DEADLY]
        deaths, ended = await worked(stage, outsider, [stage.worker("a", "many")], payloads)
    assert list(ended.values()) == [
        ("failed" if payload is DEADLY else "successful", 0) for payload in payloads
    ]
    assert deaths <= 2 * MOST_DEATHS


@pytest.mark.dear
async def test_in_a_fleet_one_deadly_item_costs_a_few_deaths_and_the_others_nothing(
    tmp_path: Path,
) -> None:
    async with Stage(tmp_path, client="native") as stage, stage.outsider() as outsider:
        await outsider.queue("many", maxretries=2)
        workers = [stage.worker(name, "many") for name in "abc"]
        payloads = [INNOCENT] * 20 + [DEADLY] + [INNOCENT] * 40
        deaths, ended = await worked(stage, outsider, workers, payloads)
    assert [state for state, _ in ended.values()] == [
        "failed" if payload is DEADLY else "successful" for payload in payloads
    ]
    assert deaths <= MOST_DEATHS


@pytest.mark.dear
@both_clients
async def test_a_worker_killed_from_outside_costs_its_items_a_run_and_no_attempt(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("many", maxretries=1)
        worker = stage.worker("a", "many")
        await worker.started()
        end = tmp_path / "end"
        pushed = await outsider.push("many", [{"until": str(end)}] * 8)
        for kills in range(1, 3):
            await until(
                "all run at once, as before the first death",
                lambda kills=kills: sum(stage.journal.runs().values()) == 8 * kills,  # type: ignore[misc]
                WAIT,
                tell=worker.tail,
            )
            await worker.kill()
            await worker.start()
        end.touch()
        books = await stage.settled("many", pushed)
        assert books.successful == 8
        assert {one["retries"] for one in await outsider.items("many")} == {0}
