"""An OpenIAP in which everything that others can write is hostile, and every page has something.

``seed`` makes it; ``Seeded.paths`` are the pages with what has to be read on each of them.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tests.console.fleet import DEADLINE, busy_worker
from tests.console.stage import Stage
from tests.integration.management.failures import fail_items
from worker import handler, schedule
from worker.engine.fleet.presence import COLLECTION
from worker.management.items.grouping import group_of, normalised
from worker.management.queues.service import Queues
from worker.management.queues.types import QueuePausePayload
from worker.openiap.workitem import Workitem
from worker.state.cells import COLLECTION as STATE

LONG: Final = "a-name-that-nobody-has-cut" * 3
FORMS: Final = (
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    '"><svg onload="window.ran = 1">',
    "javascript:window.ran=1",
    "{{ window.ran = 1 }}",
    "${window.ran = 1}`;window.ran = 1;`",
    "'); window.ran = 1; ('",
    "</script><script>window.ran = 1</script>",
    "<a href='javascript:window.ran=1'>x</a>",
    '<iframe srcdoc="<script>parent.ran = 1</script>">',
    "&lt;img src=x onerror=window.ran=1&gt;",
    ":onclick=window.ran=1",
    "../../..\\..%2f..",
    LONG,
    "a\u202eb \x1b[31m",
)
NAMES: Final = tuple(one for one in FORMS if one.isprintable())
"""What OpenIAP takes as a name."""
ALL: Final = " ".join(one for one in NAMES if one != LONG)
GROUP: Final = NAMES[7]
KNOWN: Final = {name: normalised(name)[1] for name in NAMES}
"""Errors as their groups are known: numbers are left out."""
QUEUE: Final = f"{NAMES[1]} {NAMES[2]} {LONG}"
WORKER: Final = NAMES[11]
ID: Final = "hostile-worker"
MANY: Final = 30
"""So many items fail in one way: they come first on the overview."""


@dataclass(frozen=True)
class Shown:
    """A page, and what has to be read there."""

    path: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Seeded:
    """What there is.

    Attributes:
        item: the id of the item that has everything.
        group: the id of its group of errors.
    """

    item: str
    group: str

    @property
    def pages(self) -> dict[str, Shown]:
        """Every page that shows data, by name."""
        forms = tuple(one for one in NAMES if "/" not in one)
        return {
            "overview": Shown("/", (KNOWN[GROUP], QUEUE, ALL)),
            "queues": Shown("/queues", (*NAMES, QUEUE)),
            "queue": Shown(to("/queue", name=QUEUE), (QUEUE, KNOWN[GROUP], ALL)),
            "items": Shown(to("/items", queue=QUEUE, state="new"), (*NAMES, GROUP)),
            "item": Shown(to("/item", id=self.item), (*FILES, ALL, GROUP, *NAMES[:2], "40%")),
            "errors": Shown("/errors", tuple(KNOWN.values())),
            "error group": Shown(
                to("/error-group", id=self.group), (KNOWN[GROUP], GROUP, ALL, QUEUE)
            ),
            "workers": Shown("/workers", NAMES),
            "worker": Shown(to("/worker", id=WORKER), (WORKER, QUEUE, *NAMES[:4])),
            "schedules": Shown("/schedules", (*forms, QUEUE)),
            "settings": Shown("/settings", ("Settings in force", "environment OPENIAP_URL")),
        }


FILES: Final = (*NAMES, "../../etc/passwd")


def to(path: str, **query: str) -> str:
    """Return an address."""
    return f"{path}?{urlencode(query)}"


async def seed(stage: Stage, folder: Path) -> Seeded:
    """Make all of it."""
    client = stage.openiap.client
    for name in (QUEUE, *NAMES):
        stage.openiap.queue(name)
        await fail_items(client, name, [{name: name}], name, source=ALL)
    await Queues(client).pause_one(QueuePausePayload(name=QUEUE, reason=ALL))
    await fail_items(client, QUEUE, [{}] * MANY, GROUP, source=ALL)
    await client.push_workitems(QUEUE, [Workitem(payload={}, name=one) for one in NAMES])
    error = {"$set": {"errormessage": GROUP, "errorsource": ALL}}
    await client.update_document("workitems", {"wiq": QUEUE, "state": "new"}, error)
    item = await _item(stage, folder)
    await _schedules(stage)
    await _workers(stage)
    return Seeded(item, group_of({"errormessage": GROUP}))


async def _item(stage: Stage, folder: Path) -> str:
    """Make one that has everything an item can have."""
    client, scan = stage.openiap.client, folder / "scan.pdf"
    scan.write_bytes(b"x" * 3_000)
    pushed = await client.push_workitem(QUEUE, {}, files=[scan])
    (there,) = await client.query("workitems", {"_id": pushed.id})
    marks = {"progress": {"share": 0.4, "text": ALL}, "checkpoint": {one: one for one in FORMS}}
    payload: dict[str, Any] = {one: {one: [one]} for one in FORMS}
    fields = {
        "state": "failed",
        "errortype": "application",
        "errormessage": GROUP,
        "errorsource": ALL,
        "name": NAMES[3],
        "payload": {**payload, "openiap_worker": marks},
        "files": [*there["files"], *({"_id": one, "name": one} for one in FILES)],
    }
    await client.update_document("workitems", {"_id": pushed.id}, {"$set": fields})
    await client.push_workitem(QUEUE, {"openiap_worker": {"parent": pushed.id}}, name=NAMES[0])
    return pushed.id


async def _schedules(stage: Stage) -> None:
    async def job(payload: dict[str, Any]) -> None: ...

    made: Any = handler(QUEUE)(job)
    for name in NAMES:
        if "/" not in name:
            made = schedule("0 3 1 1 *", name=name, payload={})(made)
    daemon = await stage.openiap.start_worker(made, worker_id="schedules")
    await daemon.tick()
    await daemon.stop()
    await stage.openiap.client.delete_one(COLLECTION, "schedules")


async def _workers(stage: Stage) -> None:
    """Make one for each form, of what a real one tells of itself."""
    client = stage.openiap.client
    async with busy_worker(stage, "of the worker", ID), asyncio.timeout(DEADLINE):
        wanted = {"_id": ID, "items.0": {"$exists": True}}
        while not (found := await client.query(COLLECTION, wanted)):
            await asyncio.sleep(0.05)
    (real,) = found
    await client.delete_one(COLLECTION, ID)
    report = {**real["lastseen"]["report"], "not_ready": {NAMES[0]: NAMES[1]}, "mailbox": ""}
    (item,) = real["items"]
    report["progress"] = {item["id"]: [0.4, ALL]}
    report["queues"] = {QUEUE: {"handler": NAMES[2], "timeout": 3600, "trouble": NAMES[3]}}
    for name in NAMES:
        told = {"at": real["lastseen"]["at"], "free": {QUEUE: 1}, "report": report}
        of_queue = {"queues": [QUEUE], "slots": {QUEUE: 2}, "items": [{**item, "queue": QUEUE}]}
        about = {"_id": name, "name": name, "host": name, "version": name}
        await client.insert_one(COLLECTION, {**_own(real), **about, **of_queue, "lastseen": told})


def _own(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a document says, without what the server adds."""
    kept = ("_type", "schema", "namespace", "pid", "life", "lock", "started", "state", "beat")
    return {name: document[name] for name in kept}


async def clear(stage: Stage) -> None:
    """Take all of it away."""
    client = stage.openiap.client
    for name in (QUEUE, *NAMES, "of the worker"):
        await client.delete_workitem_queue(name, purge=True)
    await client.delete_many(COLLECTION, {"_id": {"$in": list(NAMES)}})
    await client.delete_many(STATE, {"_type": "schedule", "queue": QUEUE})
