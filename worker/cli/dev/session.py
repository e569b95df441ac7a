"""The session of ``dev``: server, watch and supervisor together, until Ctrl-C."""

import asyncio
import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from watchfiles import Change, DefaultFilter, awatch

from worker.cli.dev.child_process import Broken, ChildSchedule, Plan, Prepared
from worker.cli.dev.supervisor import Supervisor
from worker.cli.dev.view import DevView
from worker.cli.shared.console import local_console
from worker.engine.outbox.private_files import private_folder
from worker.engine.signals import Signals
from worker.localserver import LocalServer, ServerOptions
from worker.localserver.storage.user import administrator
from worker.settings import Settings
from worker.telemetry.log import Log

COUNT_EVERY: Final = 0.5
STATES: Final = ("new", "processing", "successful", "failed")
FOREVER: Final = 86_400.0
"""Seconds that items in flight have after a reload: the longest that the setting takes."""
CODE: Final = (".py", ".toml", ".json", ".env")
ENV: Final = "env"
FOLDER_NAME: Final = ".openiap"


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What the command was given.

    Attributes:
        overrides: settings from the command line.
        data: the folder for items and state; None keeps nothing.
        watch: where changes count.
        drain, cancel: seconds for items in flight when all stops.
        console: settings of the pages that are opened on it; None: none are.
    """

    overrides: Mapping[str, Any]
    settings_file: str
    folder: Path
    port: int
    data: Path | None
    watch: tuple[Path, ...]
    drain: float
    cancel: float
    console: Settings | None = None


class DevSession:
    """One run of ``dev``."""

    def __init__(self, options: DevOptions) -> None:
        self._options = options
        self._view = DevView()
        self._stop = asyncio.Event()
        self._server: LocalServer | None = None
        self._supervisor: Supervisor | None = None
        self._schedules: Final[list[ChildSchedule]] = []
        """Those of the code that works, for the pages to fire."""

    async def run(self) -> None:
        """Run until SIGINT or SIGTERM.

        Raises:
            ServerStartError: the port is taken.
            OSError, sqlite3.Error: the data folder cannot be used.
        """
        options = self._options
        signals = Signals(stop=self._stop.set, hurry=self._hurry, log=self._view)
        async with AsyncExitStack() as stack:
            stack.callback(signals.catch())
            folder = self._data_folder(stack)
            data = None if options.data is None else folder / "items.sqlite"
            server_options = ServerOptions(
                port=options.port,
                grpc_enabled=False,
                data=data,
                wakeup_interval=0.25,
                wakeup_spacing=0.0,
                log=lambda line: self._view.line(0, line),
            )
            server = self._server = await stack.enter_async_context(LocalServer(server_options))
            supervisor = self._supervisor = Supervisor(self._plan(server, folder), self)
            entry = self._write_environment(server, folder)
            stack.enter_context(self._view)
            self._view.begin(server, options.data, entry, options.watch)
            counting = asyncio.create_task(self._show_counts(supervisor, server))
            stack.callback(counting.cancel)
            if options.console is not None:
                paging = asyncio.create_task(self._open_pages(options.console, server))
                stack.push_async_callback(_ended, paging)
            working: asyncio.Future[Any] = asyncio.gather(supervisor.run(), self._watch(supervisor))
            stopping: asyncio.Future[Any] = asyncio.ensure_future(self._stop.wait())
            await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            working.cancel()
            ends: Sequence[Any] = await asyncio.gather(working, return_exceptions=True)
            await supervisor.stop(options.drain, options.cancel)
            for end in ends:
                if isinstance(end, Exception):
                    raise end

    def _data_folder(self, stack: AsyncExitStack) -> Path:
        if self._options.data is None:
            temporary = tempfile.TemporaryDirectory(
                prefix="openiap-worker-dev-", ignore_cleanup_errors=True
            )
            return Path(stack.enter_context(temporary))
        folder = self._options.data.absolute()
        private_folder(folder)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        return folder

    def _plan(self, server: LocalServer, folder: Path) -> Plan:
        name, password = server.credentials
        settings = {
            **self._options.overrides,
            "url": server.ws_url,
            "username": name,
            "password": password,
            "state_dir": str(folder / "state"),
            "once": False,
            "drain_timeout": FOREVER,
        }
        # Of a development worker's own: what costs a server little and a person's patience much.
        quick = {"poll_interval": 1, "rate_limit": 0, "reconnect_max": 2}
        plain = {key: _plain(value) for key, value in {**quick, **settings}.items()}
        return Plan(plain, self._options.settings_file, self._options.folder)

    def _write_environment(self, server: LocalServer, folder: Path) -> str:
        """Write down what other commands need to sign in; returns how to take it up."""
        name, password = server.credentials
        values = {
            "OPENIAP_URL": server.ws_url,
            "OPENIAP_USERNAME": name,
            "OPENIAP_PASSWORD": password,
        }
        if os.name == "nt":
            path = folder / f"{ENV}.ps1"
            text = "".join(f"$env:{key} = '{value}'\n" for key, value in values.items())
        else:
            path = folder / ENV
            text = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in values.items())
        # Made with its mode: nobody else may read the password even for a moment.
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        shown = path
        if path.is_relative_to(self._options.folder):
            shown = path.relative_to(self._options.folder)
        return f". {shlex.quote(str(shown) if shown.is_absolute() else f'./{shown.as_posix()}')}"

    async def _watch(self, supervisor: Supervisor) -> None:
        code = CodeFilter(self._options.data)
        async for changes in awatch(*self._options.watch, watch_filter=code):
            self._view.changed(sorted({path for _, path in changes}), self._options.folder)
            supervisor.changed()

    async def _show_counts(self, supervisor: Supervisor, server: LocalServer) -> None:
        """Keep the status line true."""
        while True:
            items = server.services.item_table
            counts = {state: items.count("state = ?", (state,)) for state in STATES}
            number = 0 if supervisor.present is None else supervisor.present.number
            self._view.status(number, supervisor.finishing, counts)
            await asyncio.sleep(COUNT_EVERY)

    async def _open_pages(self, settings: Settings, server: LocalServer) -> None:
        """Have pages open until cancelled."""
        try:
            await asyncio.to_thread(import_module, "worker.console.serving")
            log = Log("error", write=lambda _, line: self._view.line(0, line))
            here = settings.model_copy(update={"url": server.ws_url, "rate_limit": 0})
            async with local_console(here, log, schedules=self._schedules) as url:
                self._view.pages(url, server.credentials)
                await asyncio.Event().wait()
        except Exception as error:  # who develops goes on without them
            self._view.line(0, f"no pages: {error}")

    def _hurry(self) -> None:
        if self._supervisor is not None:
            self._supervisor.hurry()

    # What the supervisor tells

    def prepared(self, number: int, prepared: Prepared) -> None:
        """Make the queues that are not there yet."""
        assert self._server is not None
        services = self._server.services
        made: list[str] = []
        for handler in prepared.handlers:
            if services.queues.find(handler.queue) is None:
                values = {"name": handler.queue, "amqpqueue": handler.queue}
                services.queues.add(values, administrator("dev"), services.now())
                made.append(handler.queue)
        services.replies.schedule()
        self._view.prepared(prepared, made)

    def working(self, number: int) -> None:
        """Show it."""
        child = None if self._supervisor is None else self._supervisor.present
        if child is not None:
            self._schedules[:] = [ChildSchedule(child, key) for key in child.schedules]
        self._view.working(number)

    def broken(self, number: int, broken: Broken, kept: int) -> None:
        """Show it."""
        self._view.broken(broken, kept)

    def died(self, number: int, code: int, again: bool) -> None:
        """Show it."""
        self._view.died(number, code, again)

    def line(self, number: int, text: str) -> None:
        """Show it."""
        self._view.line(number, text)


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class CodeFilter(DefaultFilter):
    """Files that are code or configuration, outside of folders that tools keep."""

    def __init__(self, data: Path | None) -> None:
        super().__init__(
            ignore_dirs=(*DefaultFilter.ignore_dirs, "venv", "build", "dist", FOLDER_NAME),
            ignore_paths=[] if data is None else [data.absolute()],
        )

    def __call__(self, change: Change, path: str) -> bool:
        """Whether a change counts."""
        return path.endswith(CODE) and super().__call__(change, path)


def _plain(value: Any) -> Any:
    """Return a setting as JSON carries it."""
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
