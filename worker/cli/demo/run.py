"""The demo's run: starts everything on loopback, pushes, waits, and reads back what there is."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from rich.progress import Progress, TaskID

from worker._version import __version__
from worker.app.options import Handler
from worker.cli.demo.plan import CSV_NAME, QUEUES, Expected, Push, plan
from worker.cli.demo.report import differences
from worker.cli.demo.service import demo_service
from worker.cli.queue_admin import QueueAdministration
from worker.cli.shared.connected import signed_in
from worker.cli.shared.reading import pages
from worker.engine.daemon import Daemon
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject
from worker.settings import Settings

IN_FLIGHT: Final = 8
LOOK_EVERY: Final = 0.25


@dataclass(slots=True)
class Outcome:
    """What is known at the end.

    Attributes:
        documents: the server's items by queue.
        retried: attempts that the worker handed back, by queue.
        problems: one sentence for each thing that is otherwise than expected.
    """

    documents: dict[str, list[JsonObject]] = field(default_factory=dict)
    retried: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


async def run_demo(
    count: int,
    client: Any,
    handlers: Sequence[Handler[..., Any]],
    folder: Path,
    *,
    bar: Progress,
    patience: float,
) -> Outcome:
    """Run the demo.

    Args:
        count: items to push.
        client: ``official`` or ``native``.
        handlers: the example handlers.
        folder: an empty one, for files and the worker's state.
        bar: where progress is shown.
        patience: seconds until it gives up waiting.
    """
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(demo_service())
        server = await stack.enter_async_context(LocalServer(ServerOptions(grpc_enabled=False)))
        settings = _settings(server, client, folder)
        mine = await stack.enter_async_context(signed_in(settings))
        admin = QueueAdministration(mine)
        for name, change in QUEUES.items():
            await admin.create(name, change)
        daemon = Daemon(settings, handlers, version=__version__)
        await daemon.start()
        stack.push_async_callback(daemon.stop)
        pushes = plan(count, service)
        in_all = count + sum(push.expected.chained is not None for push in pushes)
        pushing = bar.add_task("pushed  ", total=count)
        finishing = bar.add_task("finished", total=in_all)
        ids = await _push(mine, pushes, folder, bar, pushing)
        outcome = Outcome()
        try:
            async with asyncio.timeout(patience):
                await _finished(mine, in_all, bar, finishing)
        except TimeoutError:
            outcome.problems.append(f"not everything was finished within {patience:g} s")
        outcome.retried = {name: counts.retried for name, counts in daemon.counts().items()}
        outcome.documents = {
            name: await pages(mine, "workitems", {"wiq": name}, orderby={"_id": 1})
            for name in sorted(QUEUES)
        }
        await _compare(mine, pushes, ids, outcome, folder)
    return outcome


def _settings(server: LocalServer, client: Any, folder: Path) -> Settings:
    name, password = server.credentials
    return Settings(
        url=server.ws_url,
        username=name,
        password=SecretStr(password),
        client=client,
        state_dir=folder / "state",
        poll_interval=1.0,
        rate_limit=0,  # the local server has no limit to find
        log_level="error",
    )


async def _push(
    client: Client, pushes: Sequence[Push], folder: Path, bar: Progress, task: TaskID
) -> list[str]:
    ids = [""] * len(pushes)
    remaining = iter(enumerate(pushes))

    async def work() -> None:
        for index, push in remaining:
            files = []
            if push.csv:
                path = folder / str(index) / CSV_NAME
                path.parent.mkdir()
                path.write_bytes(push.csv)
                files.append(path)
            item = await client.push_workitem(push.queue, push.payload, name=push.name, files=files)
            ids[index] = item.id
            bar.advance(task)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(work())
    return ids


async def _finished(client: Client, in_all: int, bar: Progress, task: TaskID) -> None:
    while True:
        done = await client.count("workitems", {"state": {"$in": [SUCCESSFUL, FAILED]}})
        bar.update(task, completed=done)
        if done >= in_all:
            return
        await asyncio.sleep(LOOK_EVERY)


async def _compare(
    client: Client, pushes: Sequence[Push], ids: Sequence[str], outcome: Outcome, folder: Path
) -> None:
    by_id = {str(d["_id"]): d for items in outcome.documents.values() for d in items}
    by_name = {(d["wiq"], d["name"]): d for d in by_id.values()}
    downloads = folder / "downloads"
    downloads.mkdir()
    for push, id in zip(pushes, ids, strict=True):
        expected: tuple[str, Expected] | None = (push.queue, push.expected)
        document = by_id.get(id)
        while expected is not None:
            queue, wanted = expected
            files = await _file_of(client, wanted, document, downloads)
            outcome.problems += [
                f"{push.name} in {queue} {difference}"
                for difference in differences(wanted, document, files)
            ]
            expected = wanted.chained
            if expected is not None:  # the copy in the next queue has the name and another id
                document = by_name.get((expected[0], push.name))
    wanted_items = len(pushes) + sum(push.expected.chained is not None for push in pushes)
    if len(by_id) != wanted_items:
        outcome.problems.append(f"there are {len(by_id)} items, not {wanted_items}")


async def _file_of(
    client: Client, wanted: Expected, document: JsonObject | None, folder: Path
) -> Mapping[str, bytes]:
    if wanted.file is None or document is None:
        return {}
    name, _ = wanted.file
    for entry in document.get("files") or []:
        if name in (entry.get("filename"), entry.get("name")):
            path = await client.download(str(entry["_id"]), folder, f"{entry['_id']}.csv")
            return {name: path.read_bytes()}
    return {}
