"""A handler run here and now: who carries what it pushes."""

from collections.abc import Sequence
from typing import Any

import pytest

from worker import Item, NoProducer, Producer, handler
from worker.item.new_item import Push, Sent
from worker.producer.producer import current_producer


class Noting:
    """Carries nothing, and keeps what it was given."""

    def __init__(self) -> None:
        self.queues: list[str] = []

    async def send(self, pushes: Sequence[Push]) -> list[Sent]:
        self.queues += [push.queue for push in pushes]
        return [Sent(f"id of {push.queue}") for push in pushes]

    async def ended(self, item_id: str, queue: str, timeout: float | None) -> dict[str, Any]:
        raise AssertionError("nothing here waits for results")


@handler("children")
async def child(payload: dict[str, Any]) -> None: ...


@handler("parents")
async def parent(payload: dict[str, Any], item: Item) -> str:
    await item.push("later", {})
    return (await child.push({})).id


@handler("threads")
def in_a_thread(payload: dict[str, Any], item: Item) -> str:
    return item.wait(child.push({})).id


async def test_the_producer_of_a_run_carries_everything_that_the_handler_pushes() -> None:
    around, given = Noting(), Noting()
    token = current_producer.set(Producer(around))
    try:
        assert await parent.run({}, via=Producer(given)) == "id of children"
        assert await in_a_thread.run({}, via=Producer(given)) == "id of children"
    finally:
        current_producer.reset(token)
    assert (given.queues, around.queues) == (["children", "later", "children"], [])


async def test_without_one_the_surrounding_producer_does_and_else_nobody() -> None:
    around = Noting()
    token = current_producer.set(Producer(around))
    try:
        await parent.run({})
    finally:
        current_producer.reset(token)
    assert around.queues == ["children", "later"]
    with pytest.raises(NoProducer):
        await parent.run({})
