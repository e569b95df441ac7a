"""What lists, counts and groups of items cost on the local server, by how many there are.

python -m tests.benchmarks.item_lists 1000 100000
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from worker.localserver.storage import json_text
from worker.localserver.storage.item_documents import item_of
from worker.management.errors import AppError
from worker.management.items.indexes import INDEXES
from worker.management.items.service import Items
from worker.management.items.types import (
    ItemFilter,
    ItemsGetGroupsPayload,
    ItemsGetListPayload,
    ItemsGetPListPayload,
    PayloadCondition,
)
from worker.openiap.workitem import JsonObject
from worker.testing.local_openiap import LocalOpenIAP

ERRORS = ("[GONE] order {n} is gone", "Timeout: host 10.0.0.{n} is away", "no price", "no 'x{n}'")
TIMES = 5


async def filled(openiap: LocalOpenIAP, count: int) -> None:
    """Put items into the server's store: one in ten has failed, in four ways."""
    services = openiap.server.services
    openiap.queue("orders")
    (acl,) = [one.acl for one in [services.queues.find("orders")] if one is not None]
    now = services.now()
    for n in range(count):
        if n % 500 == 0:
            await asyncio.sleep(0)  # the server shares this loop, and is to stay alive
        failed = n % 10 == 0
        at = json_text.write_date(now - count + n)
        document: JsonObject = {
            "_id": f"{n:024x}",
            "_type": "workitem",
            "wiq": "orders",
            "name": f"order {n}",
            "state": "failed" if failed else "successful",
            "errormessage": ERRORS[n // 10 % 4].format(n=n) if failed else "",
            "errortype": "application" if failed else "",
            "payload": {"customer": f"c{n % (count // 10)}", "amount": n / 100},
            "_created": at,
            "_modified": at,
            "_acl": json.loads(acl),
        }
        services.item_table.insert(item_of(document), now)
    services.store.commit()


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    """Return the median milliseconds."""
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        await work()
        took.append(time.perf_counter() - began)
    return sorted(took)[TIMES // 2] * 1000


async def measure(count: int) -> None:
    """Print milliseconds by question, at so many items."""
    with tempfile.TemporaryDirectory() as folder:
        async with LocalOpenIAP(Path(folder) / "openiap") as openiap:
            await filled(openiap, count)
            items = Items(openiap.client)
            for name, keys in {**INDEXES, "customer": {"payload.customer": 1}}.items():
                openiap.server.services.collections.create_index("workitems", keys, {}, name)
                await asyncio.sleep(0)
            queue = ItemFilter(queue="orders")

            def page(filter: ItemFilter, **more: Any) -> Callable[[], Awaitable[Any]]:
                return lambda: items.get_plist(ItemsGetPListPayload(filter=filter, **more))

            def listed(filter: ItemFilter, **more: Any) -> Callable[[], Awaitable[Any]]:
                return lambda: items.get_list(ItemsGetListPayload(filter=filter, **more))

            customer = PayloadCondition(field="payload.customer", value="c7")
            failed = {"queue": "orders", "states": ["failed"]}
            asked: dict[str, Callable[[], Awaitable[Any]]] = {
                "newest of a queue, list": listed(queue),
                "newest of a queue, page and total": page(queue),
                "failed last, list": listed(ItemFilter(**failed), sort_by="modified"),
                "by a payload field, page and total": page(
                    ItemFilter(queue="orders", payload=[customer])
                ),
                "by name order, list (no index)": listed(queue, sort_by="name"),
                "failed with a text, page and total": page(ItemFilter(**failed, error="GONE")),
                "groups of errors": lambda: items.get_groups(
                    ItemsGetGroupsPayload(filter=ItemFilter(queue="orders"))
                ),
            }
            for name, work in asked.items():
                try:
                    shown = f"{await timed(work):10.1f} ms"
                except AppError as error:
                    shown = f"{type(error).__name__:>13}"
                print(f"  {shown}  {name}", flush=True)


async def main() -> None:
    for count in [int(one) for one in sys.argv[1:]] or [1_000, 100_000]:
        print(f"{count:,} items", flush=True)
        await measure(count)


if __name__ == "__main__":
    asyncio.run(main())
