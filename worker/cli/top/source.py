"""What is asked of OpenIAP, again and again, and what is done there; it comes back by itself.

1. Three rounds share one pace: workers; queues; and what the tab shows that is looked at. Each gets
   its turn, so the oldest thing on the screen is as old as a few questions take.
2. Whatever the link does, the next second tries again: the board says that the server is away.
3. What a key does is asked at once, beside the pace.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from io import StringIO
from typing import Any, Final

from rich.console import Console

from worker.cli.items.history import show_history
from worker.cli.shared.client import signed_in
from worker.cli.shared.errors import CommandError, explain
from worker.cli.shared.output import many
from worker.cli.top.board import Board
from worker.cli.top.pace import Pace, paced
from worker.cli.top.view import Action, Page, Prompt, View
from worker.errors import WorkerError
from worker.management.errors import AppError, UnavailableError
from worker.management.items.service import Items
from worker.management.items.types import (
    ItemGetHistoryPayload,
    ItemRetryPayload,
    ItemsGetGroupsPayload,
    ItemsGetListPayload,
    ItemsRetryBatchPayload,
)
from worker.management.queues.service import Queues
from worker.management.queues.types import (
    QueuePausePayload,
    QueueResumePayload,
    QueuesGetListPayload,
)
from worker.management.workers.service import Workers
from worker.management.workers.types import (
    Action as Told,
)
from worker.management.workers.types import (
    WorkersGetListPayload,
    WorkerSteerPayload,
)
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, OpenIAPError
from worker.settings import Settings
from worker.uptime import uptime

MOST_ITEMS: Final = 200
AGAIN_AFTER: Final = (1.0, 2.0, 5.0)
"""Seconds until a server that is away is looked for again."""
REFUSED_AGAIN: Final = 10.0
"""Seconds until something that this user may not see is asked for again."""
WITHIN: Final = 10.0
"""Seconds for a worker's answer to a command."""
Round = Callable[[], Awaitable[None]]


class Source:
    """Fills a board, and does what keys ask for, with one link at a time.

    Args:
        changed: called whenever there is something new to show.
    """

    def __init__(
        self,
        settings: Settings,
        board: Board,
        view: View,
        changed: Callable[[], None],
        pace: Pace | None = None,
    ) -> None:
        self._settings = settings
        self._board = board
        self._view = view
        self._changed = changed
        self._pace = pace or Pace()
        self._client: Client | None = None
        self._turned = asyncio.Event()
        self._width = 80

    def look(self, *, anew: bool) -> None:
        """Take note that another tab is looked at, or with ``anew`` other items."""
        if anew:
            self._board.items = None
        self._turned.set()

    async def run(self) -> None:
        """Ask until cancelled.

        Raises:
            CommandError: the credentials were refused at the first sign-in.
            SettingsError: no URL, or no credentials.
        """
        tried, seen = 0, False
        while True:
            try:
                async with signed_in(self._settings) as client:
                    tried, seen = 0, True
                    self._signed(client)
                    await self._ask(client)
            except CommandError as error:
                if not seen and isinstance(error.__cause__, AccessDenied):
                    raise
                self._away(error.text)
            except (UnavailableError, OpenIAPError) as error:
                self._away(explain(error).text)
            finally:
                self._client = None
            await asyncio.sleep(AGAIN_AFTER[min(tried, len(AGAIN_AFTER) - 1)])
            tried += 1

    def _signed(self, client: Client) -> None:
        user = client.user
        self._client, self._board.away = client, ""
        self._board.user = "" if user is None else user.username or user.name
        self._changed()

    def _away(self, text: str) -> None:
        self._board.away = f"Away, tried again: {text}"
        self._changed()

    async def _ask(self, client: Client) -> None:
        asked = paced(client, self._pace)
        settings = self._settings
        workers = Workers(asked, dead_after=settings.dead_after, namespace=settings.namespace)
        queues, items, board = Queues(asked), Items(asked), self._board

        async def of_workers() -> None:
            board.workers = await workers.get_list(WorkersGetListPayload())
            board.workers_at = uptime()

        async def of_queues() -> None:
            board.queues = await queues.get_list(QueuesGetListPayload())
            board.queues_at = uptime()

        async def of_tab() -> None:
            self._turned.clear()
            if self._view.tab == "errors":
                board.groups = await items.get_groups(ItemsGetGroupsPayload())
            elif self._view.tab == "items":
                await self._list(items)
            else:
                await self._turned.wait()

        rounds = (
            self._again(of_workers, ("workers", "running")),
            self._again(of_queues, ("queues",)),
            self._again(of_tab, ()),
        )
        await _all(rounds)

    async def _list(self, items: Items) -> None:
        wanted = self._view.filter
        found = await items.get_list(
            ItemsGetListPayload(filter=wanted, sort_by="modified", limit=MOST_ITEMS)
        )
        if wanted is self._view.filter:
            self._board.items = found

    async def _again(self, ask: Round, tabs: tuple[str, ...]) -> None:
        while True:
            about = tabs or (self._view.tab,)
            try:
                await ask()
            except UnavailableError:
                raise
            except AppError as error:
                self._board.refused.update(dict.fromkeys(about, error.message))
                self._changed()
                await asyncio.sleep(REFUSED_AGAIN)
                continue
            for tab in about:
                self._board.refused.pop(tab, None)
            self._changed()

    # What keys do

    async def do(self, action: Action, width: int) -> None:
        """Do what a key asks for, and say in the view what became of it.

        Args:
            width: of the terminal, for pages.
        """
        view, client = self._view, self._client
        if client is None:
            view.message = "OpenIAP is away; nothing was done."
        else:
            self._width = width
            try:
                await self._done(action, client)
            except (WorkerError, OpenIAPError) as error:
                view.message = explain(error).text
        self._changed()

    async def _done(self, action: Action, client: Client) -> None:
        view, target = self._view, action.target
        if action.kind == "open":
            await self._open(client, target)
        elif action.kind == "pause":
            await Queues(client).pause_one(QueuePausePayload(name=target, reason=action.text))
            view.message = f"Queue {target} is paused; what runs finishes."
        elif action.kind == "resume":
            await Queues(client).resume_one(QueueResumePayload(name=target))
            view.message = f"Queue {target} is popped."
        elif action.kind == "retry":
            await Items(client).retry_one(ItemRetryPayload(id=target))
            view.message = f"Item {target} is new again."
        elif action.kind == "preview":
            await self._preview(client, action)
        elif action.kind == "batch":
            await self._retry_all(client, action)
        elif action.kind == "quiet":
            await self._steer(client, "quiet", target)
        elif action.kind == "work":
            await self._steer(client, "resume", target)

    async def _open(self, client: Client, id: str) -> None:
        found = await Items(client).get_history(ItemGetHistoryPayload.model_construct(id=id))
        written = StringIO()
        show_history(Console(file=written, width=self._width, color_system=None), found)
        self._view.page = Page(f"item {id}", written.getvalue().splitlines(), id)

    async def _preview(self, client: Client, action: Action) -> None:
        self._view.message = "counting ..."
        self._changed()
        asked = ItemsRetryBatchPayload(filter=action.filter)
        found = await Items(client, history=self._settings.history).preview_batch(asked)
        self._view.message = ""
        if not found.count:
            self._view.message = "There is no failed item of these."
            return
        wanted = f"retry {found.count}"
        self._view.prompt = Prompt(
            f"Retries {many(found.count, 'item')}. Type {wanted}: ",
            Action("batch", action.target, filter=action.filter, before=found.before),
            wanted=wanted,
        )

    async def _retry_all(self, client: Client, action: Action) -> None:
        def progress(response: Any) -> None:
            self._view.message = f"{response.done:,} retried ..."
            self._changed()

        asked = ItemsRetryBatchPayload(filter=action.filter, before=action.before)
        done = await Items(client, history=self._settings.history).retry_batch(asked, progress)
        self._view.message = (
            f"{many(done.done, 'item')} retried, {done.changed:,} changed meanwhile,"
            f" {done.failed:,} could not be."
        )
        if done.failures:
            self._view.message += f" {done.failures[0].id}: {done.failures[0].reason}"

    async def _steer(self, client: Client, action: Told, id: str) -> None:
        self._view.message = f"waiting for {id} ..."
        self._changed()
        settings = self._settings
        workers = Workers(client, dead_after=settings.dead_after, namespace=settings.namespace)
        asked = WorkerSteerPayload.model_construct(id=id, action=action, within=WITHIN)
        one = await workers.steer_one(asked)
        self._view.message = f"{one.worker}: {'' if one.done else 'not done: '}{one.text}"


async def _all(rounds: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run them until one raises, which is raised here; the others are ended."""
    tasks = [asyncio.ensure_future(one) for one in rounds]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
