"""``top``: the fleet, live, in the terminal."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from worker.cli.shared.client import run_async
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import Options, settings_of
from worker.cli.top.board import Board, Row, chosen, rows_of
from worker.cli.top.drawing import Screen, screen_of
from worker.cli.top.keys import LONE_ESCAPE_AFTER, Keys
from worker.cli.top.source import Source
from worker.cli.top.terminal import Terminal
from worker.cli.top.view import Action, View
from worker.errors import SettingsError
from worker.openiap.factory import NO_URL
from worker.settings import Settings
from worker.uptime import uptime

EVERY: Final = 1.0
"""Seconds between two pictures, where nothing happens."""
ENDS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")


@grouped
def top(given: Options) -> None:
    """Watch queues, workers, errors and running items, live; pause, retry and open what is seen.

    It asks OpenIAP one question a second at most, with the rights of the user. ? shows the keys.
    """
    chosen_settings = settings_of(given).settings
    if not chosen_settings.url:
        raise SettingsError(NO_URL)
    terminal = Terminal()

    async def show() -> None:
        await Top(chosen_settings, terminal).run()

    run_async(show())


class Top:
    """The view and what fills it, in one terminal.

    Args:
        terminal: not entered yet; it is itself again before this waits for anything at the end.
    """

    def __init__(self, settings: Settings, terminal: Terminal) -> None:
        self._terminal = terminal
        self._board = Board(url=settings.url)
        self._view = View()
        self._keys = Keys()
        self._news = asyncio.Event()
        self._ended = False
        self._source = Source(settings, self._board, self._view, self._news.set)
        self._doing: set[asyncio.Task[None]] = set()
        self._flush: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Show and act until a key, a signal or the end of the terminal ends it.

        Raises:
            CommandError: the credentials were refused.
        """
        source = asyncio.ensure_future(self._source.run())
        source.add_done_callback(lambda _: self._end())
        try:
            with self._listening(), self._terminal:
                while not self._ended:
                    self._draw()
                    self._news.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), EVERY)
        finally:
            tasks = [source, *self._doing]
            ended = source.done()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if ended:
            source.result()

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        loop, fd = asyncio.get_running_loop(), self._terminal.fd
        names = [name for name in ENDS if hasattr(signal, name)]
        for name in names:
            loop.add_signal_handler(getattr(signal, name), self._end)
        loop.add_signal_handler(signal.SIGWINCH, self._news.set)
        loop.add_reader(fd, self._read)
        try:
            yield
        finally:
            loop.remove_reader(fd)

    def _end(self) -> None:
        self._ended = True
        self._news.set()

    def _read(self) -> None:
        sent = self._terminal.read()
        if not sent:
            self._end()
            return
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._press(self._keys.feed(sent))
        if self._keys.pending:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(LONE_ESCAPE_AFTER, self._flushed)

    def _flushed(self) -> None:
        self._flush = None
        self._press(self._keys.flush())

    def _press(self, keys: list[str]) -> None:
        for key in keys:
            screen, before = self._screen(), self._view.tab
            action = self._view.press(key, self._rows() or [], screen.room)
            if action is not None:
                self._act(action, screen.width)
            elif self._view.tab != before:
                self._source.look(anew=False)
        self._news.set()

    def _act(self, action: Action, width: int) -> None:
        if action.kind == "quit":
            self._end()
        elif action.kind == "items":
            self._source.look(anew=True)
        else:
            task = asyncio.ensure_future(self._source.do(action, width))
            self._doing.add(task)
            task.add_done_callback(self._doing.discard)

    def _rows(self) -> list[Row] | None:
        view, tab = self._view, self._view.tab
        rows = rows_of(self._board, tab, datetime.now(UTC), uptime())
        if rows is None:
            return None
        text = view.text.get(tab, "")
        return chosen(rows, view.sort[tab], down=view.down[tab], text=text)

    def _screen(self) -> Screen:
        width, height = self._terminal.size
        return Screen(width, height, self._terminal.speaks_unicode)

    def _draw(self) -> None:
        lines = screen_of(self._board, self._view, self._rows(), self._screen(), datetime.now(UTC))
        self._terminal.draw(lines)
