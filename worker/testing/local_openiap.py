"""``local_openiap``: a real server for one test, whose time and troubles the test decides.

1. The local server, the real protocol, the real client and, where asked for, whole workers: all in
   the test's own loop and on loopback.
2. Time is virtual: ``advance("1h")`` moves the server's clock, and ``ended`` jumps to the next due
   item by itself once nothing else is left to do. A retry in an hour happens now.
3. Troubles come on demand: lost replies, duplicates, cut links, a rate limit, restarts.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from worker.app.application import Application
from worker.app.options import Handler
from worker.app.payload import name_if_it_fits
from worker.durations import Duration, seconds
from worker.engine.daemon import Daemon
from worker.localserver import LocalServer
from worker.openiap.client import Client
from worker.openiap.workitem import WorkitemFile
from worker.producer.producer import Producer
from worker.producer.sender import ClientSender
from worker.settings import Settings
from worker.testing.controlled_server import ControlledServer
from worker.testing.item_view import ItemView
from worker.testing.local_workers import ClientName, LocalWorkers
from worker.testing.reconnecting_client import TIMEOUT, ReconnectingClient
from worker.testing.resource_overrides import with_overrides
from worker.testing.server_items import QueueOrHandler, ServerItems, queue_of
from worker.testing.server_time import ServerTime
from worker.testing.worker_test import Files, as_json_object, placed


class LocalOpenIAP:
    """An OpenIAP server for one test; use as ``async with LocalOpenIAP(folder) as openiap``.

    Attributes:
        clock: the server's.
        faults: switches that act at once, see ``worker.localserver.Faults``; further ones are
            methods here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        client: ClientName = "native",
        plain_users: Mapping[str, str] | None = None,
        pop_contention: bool = False,
    ) -> None:
        """Make one that is not started yet.

        Args:
            folder: an empty one; the server's data and the workers' state lie below it.
            client: which implementation the test and its workers use.
            plain_users: name to password of users who have the rights alone that queues and
                documents give them; the test itself may do everything.
            pop_contention: let pops at once on one queue disturb each other, as OpenIAP's do;
                ``server.stats`` counts ``poprounds`` and ``lostrounds``.
        """
        self.client_name: Final = client
        self._folder = folder
        self._server = ControlledServer(
            folder, plain_users=plain_users, pop_contention=pop_contention
        )
        self.clock: Final = self._server.clock
        self.faults: Final = self._server.faults
        self._items = ServerItems(lambda: self.server.services, self.clock)
        self._workers = LocalWorkers(self._server, client, folder / "state")
        self._time = ServerTime(self._server, self._items, self._workers)
        self._link = ReconnectingClient(lambda: self._workers.client(self.settings()))
        self._stack = AsyncExitStack()
        self._pushed = 0

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        await self._server.start()
        self._stack.push_async_callback(self._server.stop)
        try:
            self._stack.push_async_callback(self._link.stop)
            await self._link.start()
        except BaseException:
            await self._stack.aclose()
            raise
        self._stack.push_async_callback(self._workers.stop)
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
        return self._server.running

    @property
    def url(self) -> str:
        """The websocket URL."""
        return self.server.ws_url

    @property
    def producer(self) -> Producer:
        """For typed pushes: ``await book.push(Invoice(…), via=local_openiap.producer)``."""
        return Producer(ClientSender(self.client))

    @property
    def environment(self) -> dict[str, str]:
        """What a program of its own needs in its environment to sign in here."""
        return {
            "OPENIAP_URL": self.url,
            "OPENIAP_USERNAME": self._server.username,
            "OPENIAP_PASSWORD": self._server.password,
        }

    def settings(self, **changes: Any) -> Settings:
        """Return settings for this server; ``changes`` by name, as in ``config/worker.toml``.

        Raises:
            SettingsError: an unknown or invalid setting.
        """
        return self._workers.settings(**changes)

    # Queues and items

    def queue(
        self,
        target: QueueOrHandler,
        *,
        maxretries: int = 3,
        retrydelay: Duration = 0,
        initialdelay: Duration = 0,
        success: QueueOrHandler = "",
        failed: QueueOrHandler = "",
    ) -> None:
        """Make a work item queue, or change it.

        Args:
            target: its name, or a handler of it.
            maxretries: how many attempts an item has in all.
            retrydelay, initialdelay: whole seconds, or text like ``"1h"``.
            success, failed: the queues that its items go on to.
        """
        self._items.set_queue(
            queue_of(target),
            maxretries=maxretries,
            retrydelay=int(seconds(retrydelay)),
            initialdelay=int(seconds(initialdelay)),
            success_wiq=queue_of(success),
            failed_wiq=queue_of(failed),
        )

    async def push(
        self,
        target: QueueOrHandler,
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
            name: without one, the handler's own function names it; a payload that does not fit
                goes without.
            priority: as OpenIAP has it.
            delay: from now until it is due; ``at`` instead names the moment.
        """
        queue = queue_of(target)
        if not self._items.has_queue(queue):
            self.queue(queue)
        if not name and isinstance(target, Handler):
            name = name_if_it_fits(target, {} if payload is None else payload)
        self._pushed += 1
        given = placed(files or {}, self._folder / "pushed" / str(self._pushed), who="push")
        due = at if delay is None else datetime.now(UTC) + timedelta(seconds=seconds(delay))
        item = await self._link.when_connected(
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

    async def signal(self, id: str, name: str, value: Any = None, *, key: str = "") -> None:
        """Tell an item something, see ``Producer.signal``; one that waits for it is awake when this
        returns, where a worker of this test works its queue.

        Raises:
            TimeoutError: it was not woken.
        """
        before = self.item(id)
        await self._link.when_connected(lambda: self.producer.signal(id, name, value, key=key))
        if name not in before.waits_for or before.queue not in self._workers.queues:
            return
        await self._time.wait(
            lambda: [one for one in (self.item(id),) if one.nextrun == before.nextrun],
            timeout=seconds(TIMEOUT),
            jump=False,
        )

    async def waiting(self, id: str, *, timeout: Duration = TIMEOUT) -> ItemView:
        """Return an item once it sleeps, or waits for a signal; time does not move meanwhile.

        Raises:
            TimeoutError: it does not; the text says how it stands.
            KeyError: there is no such item.
        """
        await self._time.wait(
            lambda: [item for item in (self.item(id),) if not item.waits],
            timeout=seconds(timeout),
            jump=False,
        )
        return self.item(id)

    def item(self, id: str) -> ItemView:
        """Return an item as the server has it now.

        Raises:
            KeyError: there is none.
        """
        return self._items.item(id)

    def items(self, target: QueueOrHandler = "") -> list[ItemView]:
        """Return the items of a queue, or all, in the order they were pushed."""
        return self._items.items(target)

    def file(self, id: str, name: str) -> bytes:
        """Return the content of a file that is stored with an item.

        Raises:
            KeyError: no such item, or no such file; the text names those that are.
        """
        return self._items.file(id, name)

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
        application.lifespans = with_overrides(application.lifespans, resources or {})
        for handler in application:
            if not self._items.has_queue(handler):
                self.queue(handler)
        return await self._workers.start(application, **changes)

    # Time

    async def advance(self, duration: Duration | timedelta) -> None:
        """Move the server's time ahead; what is due then is offered to the workers at once.

        The ticks of schedules on the way happen one after the other. However far it goes, running
        workers stay alive: one that finds the clock moved gives the others its ``dead_after`` in
        real time to say so.
        """
        await self._time.advance(seconds(duration))

    async def ended(self, id: str, *, timeout: Duration = TIMEOUT, jump: bool = True) -> ItemView:
        """Return an item once it is successful or failed.

        Args:
            id: the item's.
            timeout: real seconds to wait; a test that waits in vain fails.
            jump: move time to the next due item whenever nothing else is left to do.

        Raises:
            TimeoutError: it did not end; the text says how it stands.
            KeyError: there is no such item.
        """
        await self._time.wait(
            lambda: [item for item in (self.item(id),) if not item.ended],
            timeout=seconds(timeout),
            jump=jump,
        )
        return self.item(id)

    async def settled(self, *, timeout: Duration = TIMEOUT, jump: bool = True) -> list[ItemView]:
        """Return all items once each of them is successful or failed, and the workers have nothing
        in hand: what follows from an item (follow-ups, chains) has ended as well.

        Raises:
            TimeoutError: some did not end; the text says how the first of them stands.
        """
        await self._time.settled(timeout=seconds(timeout), jump=jump)
        return self.items()

    # Troubles

    def lose_replies(self, command: str, times: int = 1) -> None:
        """Execute the next so many of a command without answering, ``"updateworkitem"`` say.

        An idle worker pops now and then: to lose the pop of an item, push it, lose the reply, and
        start the worker then.

        Raises:
            ValueError: the protocol has no such command.
        """
        self._server.lose_replies(command, times)

    def rate_limit(self, messages: int) -> None:
        """Refuse more than so many messages per second and connection (OpenIAP: 30); 0: none."""
        self._server.rate_limit(messages)

    async def cut_links(self) -> None:
        """Cut every link, the workers' and the test's; they connect again by themselves."""
        async with self._link.again():
            await self.server.drop_connections()

    async def restart(self, *, down: Duration = 0) -> None:
        """Stop the server and start it on its data and ports, ``down`` real seconds later."""
        async with self.away():
            await asyncio.sleep(seconds(down))

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Stop the server for as long as ``async with`` lasts, then start it on its data and ports.

        The test's own client waits inside until it is back.
        """
        async with self._link.again(), self._server.away():
            yield

    def deliver_again(self, id: str) -> None:
        """Put an item back to new as if it had not been worked, whoever works it now.

        So an item comes twice: the attempt that runs meanwhile loses it, what a finished one did is
        done. It costs no attempt.

        Raises:
            KeyError: there is no such item.
        """
        self._items.put_back(id)
        self._server.changed.set()
