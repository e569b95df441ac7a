"""The demo's run: starts everything on loopback, pushes, waits, and reads back what there is."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from rich.progress import Progress, TaskID

from worker._version import __version__
from worker.app.options import Handler
from worker.app.registry import Registry
from worker.cli.demo.plan import CSV_NAME, QUEUES, Expected, PlannedItem, plan, with_schedule
from worker.cli.demo.report import differences
from worker.cli.demo.service import demo_service
from worker.cli.shared.client import signed_in
from worker.cli.shared.console import local_console
from worker.cli.shared.documents import pages
from worker.engine.daemon import Daemon
from worker.engine.scheduler.timetable import timetable
from worker.item.push import PushOptions
from worker.localserver import LocalServer, ServerOptions
from worker.management.queues.service import Queues
from worker.openiap.client import Client
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject
from worker.producer.producer import Checks
from worker.producer.sender import ClientSender
from worker.settings import Settings
from worker.telemetry.log import Log

LOOK_EVERY: Final = 0.25


@dataclass(slots=True)
class DemoResult:
    """What is known at the end.

    Attributes:
        documents: the server's items by queue.
        problems: one sentence for each thing that is otherwise than expected.
    """

    documents: dict[str, list[JsonObject]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


async def run_demo(
    count: int,
    client: Any,
    handlers: Sequence[Handler[..., Any]],
    folder: Path,
    *,
    bar: Progress,
    patience: float,
    console: Callable[[str, tuple[str, str]], None] | None = None,
    stay: Callable[[DemoResult], Awaitable[None]] | None = None,
) -> DemoResult:
    """Run the demo.

    Args:
        count: items to push.
        client: ``official`` or ``native``.
        handlers: the example handlers.
        folder: an empty one, for files and the worker's state.
        bar: where progress is shown.
        patience: seconds until it gives up waiting.
        console: told where pages are open, and who may sign in there; None opens none.
        stay: waited for at the end, with server, worker and pages still there.
    """
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(demo_service())
        server = await stack.enter_async_context(LocalServer(ServerOptions(grpc_enabled=False)))
        settings = _settings(server, client, folder)
        mine = await stack.enter_async_context(signed_in(settings))
        admin = Queues(mine)
        for queue in QUEUES:
            await admin.create_one(queue)
        if console is not None:
            handlers = [with_schedule(one) for one in handlers]
        daemon = Daemon(settings, handlers, version=__version__)
        await daemon.start()
        stack.push_async_callback(daemon.stop)
        if console is not None:
            log = Log(settings.log_level)
            registry = Registry(handlers)
            pages_of = local_console(
                settings,
                log,
                schedules=timetable(registry, datetime.now(UTC)),
                contracts=_contracts(registry),
            )
            url = await stack.enter_async_context(pages_of)
            console(url, server.credentials)
        planned = plan(count, service)
        in_all = count + sum(item.expected.chained is not None for item in planned)
        pushing = bar.add_task("pushed  ", total=count)
        finishing = bar.add_task("finished", total=in_all)
        ids = await _push(mine, planned, folder, bar, pushing)
        result = DemoResult()
        try:
            async with asyncio.timeout(patience):
                await _finished(mine, in_all, bar, finishing)
        except TimeoutError:
            result.problems.append(f"not everything was finished within {patience:g} s")
        result.documents = {
            name: await pages(mine, "workitems", {"wiq": name}, orderby={"_id": 1})
            for name in sorted(queue.name for queue in QUEUES)
        }
        await _compare(mine, planned, ids, result, folder)
        there = sum(map(len, result.documents.values()))
        if there != in_all:
            result.problems.append(f"there are {there} items, not {in_all}")
        if stay is not None:
            await stay(result)
    return result


def _contracts(registry: Registry) -> Checks:
    from worker.app.contracts import Contracts, contracts_of  # brings jsonschema along

    return Contracts(contracts_of(registry))


def _settings(server: LocalServer, client: Any, folder: Path) -> Settings:
    name, password = server.credentials
    return Settings(
        url=server.ws_url,
        username=name,
        password=SecretStr(password),
        client=client,
        state_dir=folder / "state",
        poll_interval=1.0,
        heartbeat_interval=2.0,  # what pages show of it is no older
        rate_limit=0,  # the local server has no limit to find
        log_level="error",
    )


async def _push(
    client: Client, planned: Sequence[PlannedItem], folder: Path, bar: Progress, task: TaskID
) -> list[str]:
    """Push the items and return their ids."""
    pushes = []
    for index, item in enumerate(planned):
        files = []
        if item.csv:
            path = folder / str(index) / CSV_NAME
            path.parent.mkdir()
            path.write_bytes(item.csv)
            files.append(path)
        pushes.append(PushOptions(name=item.name, files=files).push(item.queue, item.payload))
    door = ClientSender(client, on_sent=lambda _, sent: bar.advance(task, len(sent)))
    return [sent.id for sent in await door.send(pushes)]


async def _finished(client: Client, in_all: int, bar: Progress, task: TaskID) -> None:
    while True:
        done = await client.count("workitems", {"state": {"$in": [SUCCESSFUL, FAILED]}})
        bar.update(task, completed=done)
        if done >= in_all:
            return
        await asyncio.sleep(LOOK_EVERY)


async def _compare(
    client: Client,
    planned: Sequence[PlannedItem],
    ids: Sequence[str],
    result: DemoResult,
    folder: Path,
) -> None:
    by_id = {str(d["_id"]): d for items in result.documents.values() for d in items}
    by_name = {(d["wiq"], d["name"]): d for d in by_id.values()}
    downloads = folder / "downloads"
    downloads.mkdir()
    for item, id in zip(planned, ids, strict=True):
        expected: tuple[str, Expected] | None = (item.queue, item.expected)
        document = by_id.get(id)
        while expected is not None:
            queue, wanted = expected
            files = await _file_of(client, wanted, document, downloads)
            result.problems += [
                f"{item.name} in {queue} {difference}"
                for difference in differences(wanted, document, files)
            ]
            expected = wanted.chained
            if expected is not None:  # the copy in the next queue has the name and another id
                document = by_name.get((expected[0], item.name))


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
