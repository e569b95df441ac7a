"""What ``run`` shows on a terminal: a line that moves, and a table at the end."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from worker.cli.shared.output import show, to_stderr
from worker.telemetry.counts import QueueCounts

PER_SECOND: Final = 2
COLUMNS: Final[Mapping[str, str]] = {
    "queue": "whole",
    "done": "number",
    "failed": "number",
    "retried": "number",
    "handed back": "number",
    "half took": "number",
    "95 % took": "number",
}


class Watched(Protocol):
    """The daemon."""

    def counts(self) -> Mapping[str, QueueCounts]:
        """Return what was done so far, by queue."""

    def waiting(self) -> int | None:
        """Return how many items are due, or None: not known yet."""


class RunView:
    """A context around a daemon's run; log lines scroll above the line that moves.

    Where stderr is no terminal it shows nothing and asks for nothing.
    """

    def __init__(self, daemon: Watched, console: Console | None = None) -> None:
        self._daemon: Final = daemon
        self._console: Final = console or to_stderr()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            # A log line stays one: whoever copies it from the terminal copies it whole.
            self._console.soft_wrap = True
            self._live = Live(
                console=self._console,
                refresh_per_second=PER_SECOND,
                transient=True,
                redirect_stdout=False,  # results stay results
                get_renderable=self._line,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        live, self._live = self._live, None
        if live is None:
            return
        live.stop()
        self._console.soft_wrap = False
        counts = self._daemon.counts()
        if any(queue.popped for queue in counts.values()):
            show(self._console, COLUMNS, rows_of(counts))

    def _line(self) -> Text:
        return line_of(self._daemon.counts(), self._daemon.waiting())


def line_of(counts: Mapping[str, QueueCounts], waiting: int | None) -> Text:
    """Return the line that moves."""

    def added(read: Callable[[QueueCounts], float]) -> float:
        return sum(read(queue) for queue in counts.values())

    failed = int(added(lambda queue: queue.failed))
    return Text.assemble(
        "" if waiting is None else f"{waiting:,} waiting   ",
        f"{int(added(lambda queue: queue.in_flight)):,} running",
        "   ",
        (f"{int(added(lambda queue: queue.successful)):,} done", "green"),
        "   ",
        (f"{failed:,} failed", "red" if failed else ""),
        "   ",
        f"{added(lambda queue: queue.items_per_second):.1f} items/s",
        no_wrap=True,
        overflow="ellipsis",  # it is drawn anew in place, which two lines could not be
    )


def rows_of(counts: Mapping[str, QueueCounts]) -> list[tuple[str | int, ...]]:
    """Return the table's rows: each queue, by name."""
    return [
        (
            queue.queue,
            queue.successful,
            queue.failed,
            queue.retried,
            queue.released,
            *((_seconds(queue.quantile(part)) if queue.finished else "") for part in (0.5, 0.95)),
        )
        for _, queue in sorted(counts.items())
    ]


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
