"""Workers of one name as processes: started at one moment, killed, frozen and thawed."""

from pathlib import Path

import pytest

from tests.acceptance.clients import both_clients
from tests.acceptance.processes import WAIT, Worker, until
from tests.acceptance.stage import Stage


def named_alike(stage: Stage, folder: Path, **settings: object) -> list[Worker]:
    """Return two workers of one name, each with a state directory of its own."""
    both = []
    for number in (1, 2):
        worker = stage.worker("same", "items", state_dir=str(folder / f"own-{number}"), **settings)
        worker.log = folder / f"same-{number}.log"
        both.append(worker)
    return both


async def in_hand(stage: Stage, item: str, *, attempt: int, by: int) -> None:
    """Wait until a process works an attempt, and its document tells so."""

    async def told() -> bool:
        async with stage.outsider() as outsider:
            found = await outsider.query("openiap_workers", {"_id": "same"})
        claims = [claim["id"] for document in found for claim in document["items"]]
        return item in claims and found[0]["pid"] == by

    def begun() -> bool:
        notes = stage.journal.notes("start")
        return any((note["item"], note["attempt"]) == (item, attempt) for note in notes)

    await until("it is begun", begun, WAIT, tell=lambda: stage.workers[0].tail())
    await until("it is claimed", told, WAIT, every=0.2)


@pytest.mark.dear
@both_clients
async def test_of_two_processes_of_one_name_one_works_and_a_kill_costs_no_time(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue("items", maxretries=5)
            (item,) = await outsider.push("items", [{"until": str(tmp_path / "go")}])
        # Nobody is dead before the test is over: what is recovered is recovered by the next life.
        both = named_alike(stage, tmp_path, dead_after=600.0, unclaimed_after=0, outbox=False)
        for worker in both:
            await worker.start()
        await until(
            "one of the two ends",
            lambda: any(not worker.alive for worker in both),
            WAIT,
            tell=lambda: both[0].tail() + both[1].tail(),
        )
        ((ended, works),) = [(a, b) for a, b in (both, both[::-1]) if not a.alive]
        assert ended.returncode
        assert "Worker same lives on" in ended.text()
        await until("the other works", works.ready, WAIT, tell=works.tail)
        await in_hand(stage, item, attempt=1, by=works.pid)
        await works.kill()
        await works.started()
        await in_hand(stage, item, attempt=2, by=works.pid)
        (tmp_path / "go").touch()
        books = await stage.settled("items", [item])
        assert (books.lost, books.stuck, books.outcomes) == (0, 0, 1)


@pytest.mark.dear
@both_clients
async def test_who_was_frozen_for_long_and_finds_another_under_its_name_ends_up_alone(
    client: str, tmp_path: Path
) -> None:
    async with Stage(tmp_path, client=client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue("items", maxretries=5)
            (item,) = await outsider.push("items", [{"until": str(tmp_path / "go")}])
        first, second = named_alike(stage, tmp_path)
        await first.started()
        await in_hand(stage, item, attempt=1, by=first.pid)
        first.freeze()
        await second.started()  # once the first one was silent for long
        await in_hand(stage, item, attempt=2, by=second.pid)
        first.thaw()
        (tmp_path / "go").touch()
        assert await second.ended(WAIT) != 0, "it began later"
        assert "finishes what it has and ends" in second.text()
        books = await stage.settled("items", [item])
        assert (books.lost, books.stuck, books.outcomes) == (0, 0, 1)
        assert first.alive
