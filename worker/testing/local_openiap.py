"""``local_openiap``: a real server for one test, whose time and troubles the test decides.

1. The local server, the real protocol, the real client and, where asked for, whole workers: all in
   the test's own loop and on loopback.
2. Time is virtual: ``advance("1h")`` moves the server's clock, and ``ended`` jumps to the next due
   item by itself once nothing else is left to do. A retry in an hour happens now.
3. Troubles come on demand: lost replies, duplicates, cut links, a rate limit, restarts.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from worker.app.application import Application
from worker.durations import Duration, seconds
from worker.durations import text as duration_text
from worker.engine.daemon import Daemon
from worker.localserver import Faults, LocalServer, ServerOptions
from worker.localserver.operations.wakeups import WakeUps
from worker.localserver.protocol.commands import COMMANDS
from worker.localserver.storage.item_table import COLLECTION
from worker.openiap.client import Client
from worker.openiap.factory import client_maker
from worker.openiap.workitem import WorkitemFile
from worker.producer.producer import Producer
from worker.producer.sender import ClientSender
from worker.settings import Settings, load
from worker.testing.inventory import ME, Inventory, Target, queue_of
from worker.testing.item_view import ItemView
from worker.testing.kept_ports import kept_ports
from worker.testing.own_link import PATIENCE, OwnLink
from worker.testing.replacing import replaced
from worker.testing.virtual_time import VirtualClock, in_virtual_time
from worker.testing.worker_test import Files, as_json_object, placed

ClientName = Literal["native", "official"]

USER: Final = ME.username
BEHIND: Final = 0.001
TOKENS_LAST: Final = 100 * 365 * 86400.0
"""Seconds; a test that goes a year ahead does not have to sign in again."""

# Waits that cost a test time and show it nothing are short; see config/worker.toml for each.
QUICK: Final[Mapping[str, Any]] = {
    "poll_interval": 0.5,
    "rate_limit": 0,
    "call_timeout": 3,
    "drain_timeout": 5,
    "cancel_timeout": 1,
    "heartbeat_interval": 0.5,
    "dead_after": 5,
    "unclaimed_after": 10,  # a cut link may lose a pop: the item comes back within the test
    "rescue_interval": 0.5,
    "reconnect_min": 0.05,
    "reconnect_max": 0.5,
    "watchdog_interval": 3,
    "log_level": "warn",
}


class LocalOpenIAP:
    """An OpenIAP server for one test; use as ``async with LocalOpenIAP(folder) as openiap``.

    Attributes:
        clock: the server's.
        faults: switches that act at once, see ``worker.localserver.Faults``; further ones are
            methods here.
    """

    def __init__(self, folder: Path, *, client: ClientName = "native") -> None:
        """Make one that is not started yet.

        Args:
            folder: an empty one; the server's data and the workers' state lie below it.
            client: which implementation the test and its workers use.
        """
        self.client_name: Final = client
        self.clock: Final = VirtualClock()
        self.faults: Final = Faults()
        self._folder = folder
        self._password = secrets.token_urlsafe(12)
        self._options = ServerOptions(
            data=folder / "openiap.sqlite",
            users={USER: self._password},
            wakeup_interval=0.05,
            wakeup_spacing=0.0,
            token_lifetime=TOKENS_LAST,
            faults=self.faults,
            clock=self.clock,
        )
        self._server = LocalServer(self._options)
        self._inventory = Inventory(lambda: self._server.house, self.clock)
        self._stack = AsyncExitStack()
        self._changed = asyncio.Event()
        self._started_workers = 0
        self._worked: set[str] = set()
        self._workers: list[Daemon] = []
        self._pushed = 0
        self._link = OwnLink(lambda: self._client(self.settings()))

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        await self._start()
        self._stack.push_async_callback(self._stop_server)
        try:
            self._stack.push_async_callback(self._link.stop)
            await self._link.start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.faults.silent = False
        await self._stack.aclose()

    # Where it is

    @property
    def client(self) -> Client:
        """Signed in, and again after each restart; its moments are this process's."""
        return self._link.client

    @property
    def server(self) -> LocalServer:
        """The running server; another one after a restart."""
        return self._server

    @property
    def url(self) -> str:
        """The websocket URL."""
        return self._server.ws_url

    @property
    def producer(self) -> Producer:
        """For typed pushes: ``await book.push(Invoice(…), via=local_openiap.producer)``."""
        return Producer(ClientSender(self.client))

    @property
    def environment(self) -> dict[str, str]:
        """What a program of its own needs in its environment to sign in here."""
        return {
            "OPENIAP_URL": self.url,
            "OPENIAP_USERNAME": USER,
            "OPENIAP_PASSWORD": self._password,
        }

    def settings(self, **changes: Any) -> Settings:
        """Return settings for this server; ``changes`` by name, as in ``config/worker.toml``.

        Raises:
            SettingsError: an unknown or invalid setting.
        """
        here = {
            "url": self.url,
            "username": USER,
            "password": self._password,
            "client": self.client_name,
            "state_dir": str(self._folder / "state"),
        }
        return load({**here, **QUICK, **changes}, environment={}).settings

    # Queues and items

    def queue(
        self,
        target: Target,
        *,
        maxretries: int = 3,
        retrydelay: Duration = 0,
        initialdelay: Duration = 0,
        success: Target = "",
        failed: Target = "",
    ) -> None:
        """Make a work item queue, or change it.

        Args:
            target: its name, or a handler of it.
            maxretries: how many attempts an item has in all.
            retrydelay, initialdelay: whole seconds, or text like ``"1h"``.
            success, failed: the queues that its items go on to.
        """
        self._inventory.make_queue(
            target,
            maxretries=maxretries,
            retrydelay=retrydelay,
            initialdelay=initialdelay,
            success=success,
            failed=failed,
        )

    async def push(
        self,
        target: Target,
        payload: object = None,
        *,
        files: Files | None = None,
        name: str = "",
        priority: int = 2,
        delay: Duration | None = None,
        at: datetime | None = None,
    ) -> str:
        """Push an item and return its id; a queue that is not there yet is made.

        Args:
            target: a queue's name, or a handler of it.
            payload: a dict, model or dataclass; None is ``{}``.
            files: name to path or content.
            name, priority: as OpenIAP has them.
            delay: from now until it is due; ``at`` instead names the moment.
        """
        queue = queue_of(target)
        if not self._inventory.has_queue(queue):
            self.queue(queue)
        self._pushed += 1
        given = placed(files or {}, self._folder / "pushed" / str(self._pushed), who="push")
        due = at if delay is None else datetime.now(UTC) + timedelta(seconds=seconds(delay))
        item = await self._link.patiently(
            lambda: self.client.push_workitem(
                queue,
                as_json_object(payload),
                name=name,
                nextrun=due,
                priority=priority,
                files=[WorkitemFile(file.filename, path=file.path) for file in given],
            )
        )
        return item.id

    def item(self, id: str) -> ItemView:
        """Return an item as the server has it now.

        Raises:
            KeyError: there is none.
        """
        return self._inventory.item(id)

    def items(self, target: Target = "") -> list[ItemView]:
        """Return the items of a queue, or all, in the order they were pushed."""
        return self._inventory.items(target)

    def file(self, id: str, name: str) -> bytes:
        """Return the content of a file that is stored with an item.

        Raises:
            KeyError: no such item, or no such file; the text names those that are.
        """
        return self._inventory.file(id, name)

    # Workers

    async def start_worker(
        self,
        *declarations: object,
        resources: Mapping[Any, Any] | None = None,
        **changes: Any,
    ) -> Daemon:
        """Start a worker in this process and return it; it is stopped at the end of the test.

        Queues of the handlers that are not there yet are made.

        Args:
            declarations: handlers and routers, and the lifespans, middleware and hooks around them.
            resources: by type, in the place of what lifespans provide; by factory, in the place of
                what ``Resource(factory)`` would make.
            changes: settings by name, as in ``config/worker.toml``.

        Raises:
            HandlerError: a handler that cannot be used, or two for one queue.
            SettingsError: an unknown or invalid setting.
        """
        application = Application.of(*declarations)
        application.lifespans = replaced(application.lifespans, resources or {})
        for handler in application:
            if not self._inventory.has_queue(handler):
                self.queue(handler)
        self._started_workers += 1
        name = f"worker-{self._started_workers}"
        settings = self.settings(**{"worker_id": name, **changes})
        daemon = Daemon(settings, application, client_factory=lambda: self._client(settings))
        self._worked |= {handler.options.queue for handler in application}
        self._workers.append(daemon)
        self._stack.push_async_callback(daemon.stop)
        async with asyncio.timeout(PATIENCE):
            await daemon.start()
        return daemon

    # Time

    async def advance(self, duration: Duration | timedelta) -> None:
        """Move the server's time ahead; what is due then is offered to the workers at once.

        The ticks of schedules on the way happen one after the other. However far it goes, running
        workers stay alive: one that finds the clock moved gives the others its ``dead_after`` in
        real time to say so.
        """
        left = seconds(duration)
        while True:
            ahead = await self._ticked()
            if left <= 0:
                return
            step = left if ahead is None else min(left, max(0.0, ahead) + BEHIND)
            await self._move(step)
            left -= step

    async def ended(self, id: str, *, timeout: Duration = PATIENCE, jump: bool = True) -> ItemView:
        """Return an item once it is successful or failed.

        Args:
            id: the item's.
            timeout: real seconds to wait; a test that waits in vain fails.
            jump: move time to the next due item whenever nothing else is left to do.

        Raises:
            TimeoutError: it did not end; the text says how it stands.
            KeyError: there is no such item.
        """
        limit = seconds(timeout)
        try:
            async with asyncio.timeout(limit):
                async for _ in self._changes(jump):
                    found = self.item(id)
                    if found.ended:
                        return found
        except TimeoutError:
            raise TimeoutError(self._not_ended(self.item(id), limit)) from None
        raise AssertionError("the server's changes do not end")

    async def settled(self, *, timeout: Duration = PATIENCE, jump: bool = True) -> list[ItemView]:
        """Return all items once each of them is successful or failed.

        Raises:
            TimeoutError: some did not end; the text says how the first of them stands.
        """
        limit = seconds(timeout)
        try:
            async with asyncio.timeout(limit):
                async for _ in self._changes(jump):
                    if all(item.ended for item in self.items()):
                        return self.items()
        except TimeoutError:
            left = [item for item in self.items() if not item.ended]
            raise TimeoutError(self._not_ended(left[0], limit)) from None
        raise AssertionError("the server's changes do not end")

    # Troubles

    def lose_replies(self, command: str, times: int = 1) -> None:
        """Execute the next so many of a command without answering, ``"updateworkitem"`` say.

        An idle worker pops now and then: to lose the pop of an item, push it, lose the reply, and
        start the worker then.

        Raises:
            ValueError: the protocol has no such command.
        """
        if command not in COMMANDS:
            raise ValueError(f"the protocol has no command {command!r}")
        self.faults.lose_replies[command] = self.faults.lose_replies.get(command, 0) + times

    def rate_limit(self, messages: int) -> None:
        """Refuse more than so many messages per second and connection (OpenIAP: 30); 0: none."""
        self._options.rate_limit = messages

    async def cut_links(self) -> None:
        """Cut every link, the workers' and the test's; they connect again by themselves."""
        async with self._link.again():
            await self._server.drop_connections()

    async def restart(self, *, down: Duration = 0) -> None:
        """Stop the server and start it on its data and ports, ``down`` real seconds later."""
        async with self._link.again():
            port, grpc_port = self._server.port, self._server.grpc_port
            await self._server.stop()
            with kept_ports(self._options.host, port, grpc_port):
                await asyncio.sleep(seconds(down))
                self._options = replace(self._options, port=port, grpc_port=grpc_port)
                self._server = LocalServer(self._options)
                await self._start()

    def deliver_again(self, id: str) -> None:
        """Put an item back to new as if it had not been worked, whoever works it now.

        So an item comes twice: the attempt that runs meanwhile loses it, what a finished one did is
        done. It costs no attempt.

        Raises:
            KeyError: there is no such item.
        """
        self._inventory.put_back(id)
        self._changed.set()

    # Within

    async def _ticked(self) -> float | None:
        """Let the workers do their schedules' ticks; returns the seconds until the next one."""
        ahead = None
        if not self.faults.silent:
            for worker in self._workers:
                tick = await worker.tick()
                if tick is not None:
                    wait = tick.timestamp() - self.clock()
                    ahead = wait if ahead is None else min(ahead, wait)
        return ahead

    async def _move(self, by: float) -> None:
        self.clock.advance(by)
        house = self._server.house
        house.replies.schedule()
        await WakeUps(house).round()

    async def _start(self) -> None:
        await self._server.start()
        self._server.house.changes.listen(COLLECTION, lambda *change: self._changed.set())

    async def _stop_server(self) -> None:
        await self._server.stop()

    def _client(self, settings: Settings) -> Client:
        return in_virtual_time(client_maker(settings, "")(), self.clock)

    async def _changes(self, jump: bool) -> AsyncIterator[None]:
        """Say whenever items may have changed; with ``jump`` move time when nothing else moves."""
        while True:
            self._changed.clear()
            yield
            if jump:
                await self._jump()
            await self._changed.wait()

    async def _jump(self) -> None:
        """Move time to the next due item, unless something is due or worked already."""
        ahead = self._inventory.next_due()
        if ahead is not None:
            await self.advance(ahead + BEHIND)

    def _not_ended(self, item: ItemView, limit: float) -> str:
        due = ""
        if item.nextrun is not None:
            ahead = (item.nextrun - datetime.now(UTC)).total_seconds()
            due = f", due in {duration_text(round(ahead))}" if ahead >= 1 else ", due"
        error = f", last error: {item.errormessage}" if item.errormessage else ""
        nobody = (
            "" if item.queue in self._worked else f"; no worker of this test works {item.queue}"
        )
        return (
            f"item {item.id} in {item.queue} did not end within {duration_text(limit)}: state"
            f" {item.state}, {item.attempts} attempts begun{due}{error}{nobody}"
        )
