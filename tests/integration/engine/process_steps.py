"""Process handlers with steps; a module of their own, since their processes import it."""

from pathlib import Path
from typing import Final

from worker import Item, handler

ASYNC: Final = "async-steps"
PLAIN: Final = "plain-steps"


def note(folder: str, queue: str, what: str) -> None:
    """Write down what has happened."""
    with Path(folder, queue).open("a") as file:
        file.write(f"{what}\n")


def square(folder: str, queue: str, number: int) -> int:
    """Do it once."""
    note(folder, queue, "step")
    return number * number


@handler(ASYNC, process=True, concurrency=1)
async def async_work(payload: dict[str, str], item: Item) -> dict[str, list[int]]:
    folder, queue = payload["folder"], payload["queue"]
    note(folder, queue, "run")
    one = await item.step("one", square, folder, queue, 1)
    await item.sleep("1100ms")
    two = await item.step("two", square, folder, queue, 2)
    if item.attempt == 1:
        raise RuntimeError("once more")
    return {"numbers": [one, two]}


@handler(PLAIN, process=True, concurrency=1)
def plain_work(payload: dict[str, str], item: Item) -> dict[str, list[int]]:
    folder, queue = payload["folder"], payload["queue"]
    note(folder, queue, "run")
    one = item.wait(item.step("one", square, folder, queue, 1))
    item.wait(item.sleep("1100ms"))
    two = item.wait(item.step("two", square, folder, queue, 2))
    if item.attempt == 1:
        raise RuntimeError("once more")
    return {"numbers": [one, two]}
