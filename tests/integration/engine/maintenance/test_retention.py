"""Finished items go, with their files, when they are old enough; others stay."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from worker import BusinessError, handler
from worker.engine.maintenance.retention import BATCH, Retention, rules_of
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied
from worker.telemetry.log import Log
from worker.testing import LocalOpenIAP


@handler("bills", keep="30d", keep_failed="90d")
async def bill(payload: dict[str, Any]) -> None:
    if payload.get("bad"):
        raise BusinessError("bad")


@handler("letters")
async def letter(payload: dict[str, Any]) -> None:
    """Nothing is said of how long they are kept."""


class Leading:
    """A fleet in which this worker stands somewhere, under the server's time."""

    def __init__(self, openiap: LocalOpenIAP, rank: int | None) -> None:
        self._openiap = openiap
        self._rank = rank

    def server_now(self) -> datetime:
        return datetime.fromtimestamp(self._openiap.clock(), UTC)

    def rank(self, queue: str) -> int | None:
        return self._rank

    async def peers(self) -> list[object]:
        return []


def retention(openiap: LocalOpenIAP, rank: int | None = 0) -> Retention:
    return Retention(
        rules_of([bill, letter]),
        client=openiap.client,
        fleet=Leading(openiap, rank),
        log=Log("warn"),
        chance=random.Random(1),
        first=0.01,
        every=0.05,
        between=0.01,
    )


async def worked(openiap: LocalOpenIAP) -> dict[str, str]:
    """Return the ids of items that ended, and of one that waits."""
    worker = await openiap.start_worker(bill, letter)
    ids = {
        "good": await openiap.push(bill, {}, files={"a.txt": b"12345"}),
        "bad": await openiap.push(bill, {"bad": True}),
        "other": await openiap.push(letter, {}),
    }
    await openiap.settled(timeout="100s")
    await worker.stop()
    return {**ids, "waiting": await openiap.push(bill, {})}


async def until_gone(openiap: LocalOpenIAP, *ids: str) -> None:
    async with asyncio.timeout(60):
        while {item.id for item in openiap.items()} & set(ids):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("rank", [0, None])
async def test_finished_items_go_with_their_files_once_they_are_old_enough(
    local_openiap: LocalOpenIAP, rank: int | None
) -> None:
    ids = await worked(local_openiap)
    service = retention(local_openiap, rank)
    await service.start()
    await local_openiap.advance("29d")
    await asyncio.sleep(0.3)  # several looks
    assert {item.id for item in local_openiap.items()} == set(ids.values())
    await local_openiap.advance("2d")
    await until_gone(local_openiap, ids["good"])
    assert {item.id for item in local_openiap.items()} == set(ids.values()) - {ids["good"]}
    async with asyncio.timeout(60):  # its files go right behind it
        while await local_openiap.client.query("fs.files"):
            await asyncio.sleep(0.01)
    await local_openiap.advance("60d")
    await until_gone(local_openiap, ids["bad"])
    await service.stop()
    left = {item.id for item in local_openiap.items()}
    assert left == {ids["other"], ids["waiting"]}


async def test_only_the_leading_worker_deletes(local_openiap: LocalOpenIAP) -> None:
    ids = await worked(local_openiap)
    await local_openiap.advance("365d")
    service = retention(local_openiap, rank=1)
    await service.start()
    await asyncio.sleep(0.5)
    await service.stop()
    assert {item.id for item in local_openiap.items()} == set(ids.values())


async def test_more_than_a_batch_goes_at_one_look(local_openiap: LocalOpenIAP) -> None:
    worker = await local_openiap.start_worker(bill)
    ids = [await local_openiap.push(bill, {}) for _ in range(60)]
    await local_openiap.settled(timeout="100s")
    await worker.stop()
    await local_openiap.advance("31d")
    service = retention(local_openiap)
    await service.start()
    await until_gone(local_openiap, *ids)
    await service.stop()


async def test_items_that_may_not_be_deleted_hide_none_of_those_behind_them(
    local_openiap: LocalOpenIAP,
) -> None:
    worker = await local_openiap.start_worker(bill)
    ids = [await local_openiap.push(bill, {}) for _ in range(2 * BATCH)]
    await local_openiap.settled(timeout="100s")
    await worker.stop()
    await local_openiap.advance("31d")
    foreign = ids[: BATCH + 5]

    class Refusing:
        """A client whose user may not delete the oldest ones."""

        query = staticmethod(local_openiap.client.query)

        async def delete_workitem(self, id: str, **more: Any) -> None:
            if id in foreign:
                raise AccessDenied("no")
            await local_openiap.client.delete_workitem(id)

    said: list[str] = []
    service = retention(local_openiap)
    service._client = cast(Client, Refusing())
    service._log = Log("warn", write=lambda level, line: said.append(line))
    await service.round()
    assert {item.id for item in local_openiap.items()} == set(foreign)
    assert [line for line in said if f"{BATCH + 5} successful items" in line] == said


async def test_a_worker_knows_its_place_from_the_rescuer(local_openiap: LocalOpenIAP) -> None:
    """Both services ask the fleet; in a worker that is its presence."""
    # Who may still be silent has no place yet: that is known after dead_after.
    first = await local_openiap.start_worker(bill, dead_after=1)
    second = await local_openiap.start_worker(bill, dead_after=1)
    ranks: tuple[int | None, ...] = ()
    async with asyncio.timeout(60):
        while ranks != (0, 1):
            found = [first._parts, second._parts]
            ranks = tuple(None if one is None else one.heartbeat.rank("bills") for one in found)
            await asyncio.sleep(0.05)
