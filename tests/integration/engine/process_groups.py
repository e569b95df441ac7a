"""A process handler that pushes a group; a module of its own, since its processes import it."""

from typing import Any

from worker import Item, handler


@handler("processed", process=True, concurrency=1)
async def push_and_wait(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    group = await item.push_group([(double, {"n": n}) for n in (1, 2)])
    found = await group.results()
    places = [member.n async for member in group.members()]
    return {"found": found.results, "places": places}


@handler("doubled", process=True, concurrency=1)
def double(payload: dict[str, int]) -> int:
    return 2 * payload["n"]
