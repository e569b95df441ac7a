"""Items that have failed, as many as a test wants, without a worker."""

from collections.abc import Sequence

from worker.openiap.client import Client
from worker.openiap.workitem import JsonObject, Workitem, WorkItemQueue
from worker.testing.local_openiap import LocalOpenIAP

BATCH = 500
ORDINARY, PASSWORD = "ordinary", "say-friend"
READ, UPDATE, DELETE, INVOKE = 2, 4, 8, 16


async def fail_items(
    client: Client,
    queue: str,
    payloads: Sequence[JsonObject],
    message: str,
    *,
    retries: int = 2,
    errortype: str = "application",
    source: str = "worker w1, attempt 3, 0.1 s\nTraceback\nshop.errors.Gone: gone",
) -> list[str]:
    """Push items, and make them failed with an error; returns their ids."""
    ids: list[str] = []
    for start in range(0, len(payloads), BATCH):
        items = [Workitem(payload=payload) for payload in payloads[start : start + BATCH]]
        pushed = await client.push_workitems(queue, items)
        some = [item.id for item in pushed]
        error = {"errormessage": message, "errortype": errortype, "errorsource": source}
        await client.update_document(
            "workitems",
            {"_id": {"$in": some}},
            {"$set": {"state": "failed", "retries": retries, **error}},
        )
        ids += some
    return ids


async def states_of(client: Client, queue: str) -> dict[str, tuple[str, int]]:
    """Return state and retries of the items of a queue, by id."""
    found = await client.query("workitems", {"wiq": queue}, {"state": 1, "retries": 1}, top=20_000)
    return {one["_id"]: (one["state"], one["retries"]) for one in found}


async def queue_for(openiap: LocalOpenIAP, name: str, rights: int) -> None:
    """Make a queue on which the ordinary user has some rights."""
    (user,) = await openiap.client.query("users", {"name": ORDINARY})
    acl = [{"_id": user["_id"], "rights": rights}]
    await openiap.client.add_workitem_queue(WorkItemQueue(name=name, acl=acl))


async def four_failures(openiap: LocalOpenIAP, queue: str = "orders") -> dict[str, list[str]]:
    """Make items that fail in four ways; returns their ids by way."""
    openiap.queue(queue)
    door = openiap.client
    payloads = [{"n": n, "customer": f"c{n % 3}", "amount": n / 2} for n in range(12)]
    return {
        "gone": await fail_items(door, queue, payloads, "[GONE] order 4711 is gone"),
        "away": await fail_items(door, queue, payloads[:5], "Timeout: host 10.0.0.1:80 is away"),
        "shut": await fail_items(door, queue, payloads[:3], "no 'x'", errortype="business"),
        "other": await fail_items(
            door, queue, payloads[:2], "KeyError: 'id'", source="worker w2, attempt 3, 1 s"
        ),
    }
