"""The key lock under every order of events that chance makes: nobody waits for ever, never two."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.unit.engine.concurrency.fleet import Fleet

SEEDS = pytest.mark.parametrize(
    "seeds",
    [range(10), pytest.param(range(10, 40), marks=pytest.mark.dear)],
    ids=["some", "more"],
)
KEYS = ["a", "b", "a", "a", "c", "b", "a", "a", "b", "a"]
DEADLINE = 60
CLIENTS = [(True,), (False,), (True, False)]


async def done(
    fleet: Fleet,
    workers: Sequence["asyncio.Task[None]"],
    *,
    meanwhile: Callable[[], Any] | None = None,
) -> None:
    async with asyncio.timeout(DEADLINE):
        while not fleet.done:
            for worker in workers:
                if worker.done():
                    worker.result()  # what it failed on, and not that the others wait for it
            if meanwhile is not None:
                await meanwhile()
            await asyncio.sleep(0)


@SEEDS
@pytest.mark.parametrize("per_key", [1, 2])
@pytest.mark.parametrize("clients", CLIENTS, ids=["native", "official", "mixed"])
async def test_all_items_run_and_never_too_many_of_a_key(
    clients: tuple[bool, ...], per_key: int, seeds: range
) -> None:
    for seed in seeds:
        fleet = Fleet(seed, clients=clients, per_key=per_key)
        for key in KEYS:
            fleet.push(key)
        workers = [asyncio.create_task(fleet.worker(slots=3, fails=0.1)) for _ in range(3)]
        try:
            await done(fleet, workers)  # without any look of the keeper: every line is handed on
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        assert max(fleet.most.values()) <= per_key, f"seed {seed}"
        places = [
            d
            for d in fleet.memory.collections["openiap_worker_state"].values()
            if d["_type"] == "place"
        ]
        assert places == [], f"seed {seed}"


@SEEDS
@pytest.mark.parametrize("per_key", [1, 2])
@pytest.mark.parametrize("clients", CLIENTS, ids=["native", "official", "mixed"])
async def test_workers_die_anywhere(clients: tuple[bool, ...], per_key: int, seeds: range) -> None:
    for seed in seeds:
        fleet = Fleet(seed, clients=clients, per_key=per_key)
        for key in KEYS:
            fleet.push(key)
        # One worker at a time lives on; the attempts of the dead are ended between two lives.
        for _ in range(6):
            workers = [asyncio.create_task(fleet.worker(slots=3)) for _ in range(2)]
            for _ in range(fleet.chance.randrange(10, 200)):
                await asyncio.sleep(0)
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            fleet.rescue(set())
        last = asyncio.create_task(fleet.worker(slots=3))
        keeper = fleet.key_lock()
        try:
            await done(fleet, [last], meanwhile=keeper.maintain)
        except TimeoutError:
            raise AssertionError(f"seed {seed}: {fleet.items}") from None
        finally:
            last.cancel()
            await asyncio.gather(last, return_exceptions=True)
        assert max(fleet.most.values()) <= per_key, f"seed {seed}"
