"""What code prints, as lines of the worker: its standard output is for results alone.

1. A line that is printed while an item is worked is one of that item, as by ``item.log.info``, with
   ``stream=stdout``; masked, in the form and at the level ``info`` like any other. What modules
   print while they are imported waits until there is a log.
2. The stream itself leads to the error output, for what does not go by ``sys.stdout``: programs
   that handlers start, and code that writes to the descriptor.
3. A line ends at its line break; of one that is drawn anew (``\\r``) the last state counts.
"""

import contextlib
import io
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from typing import Final, TextIO

from worker.forks import in_children
from worker.item.context import current_item
from worker.item.item import Item, ItemLog
from worker.telemetry.log import to_stderr
from worker.telemetry.log_forms import line_of

LONGEST: Final = 8_000
"""Characters after which a line that does not end is written."""
MOST_BEGUN: Final = 1_000
"""Lines that are begun and not ended, by as many items."""


def log_here(otherwise: ItemLog) -> ItemLog:
    """Return the log of the item that is worked here, or another one."""
    item = current_item.get()
    return item.log if isinstance(item, Item) else otherwise


class Printed(io.TextIOBase):
    """Stands in the place of ``sys.stdout``; shape: ``start``, ``stop``. Usable from threads.

    Args:
        log: says what is printed where no item is worked; until there is one, lines wait.
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, log: ItemLog | None = None) -> None:
        super().__init__()
        self._waiting: Final = _Waiting()
        self._log: ItemLog = log or self._waiting
        self._begun: dict[tuple[int, str], tuple[Context, str]] = {}
        self._mutex = threading.RLock()
        self._before: TextIO | None = None
        self._descriptor: int | None = None
        in_children(self, Printed._of_a_child)

    def _of_a_child(self) -> None:
        """Another thread may have held the lock; what was begun is the parent's to write."""
        self._mutex = threading.RLock()
        self._begun = {}

    def start(self, *, descriptor: bool = True) -> None:
        """Take what is printed from now on.

        Args:
            descriptor: whether the stream itself is to lead to the error output.
        """
        self._before = sys.stdout
        if descriptor:
            self._descriptor = _led_to_stderr(self._before)
        sys.stdout = self

    def use(self, log: ItemLog) -> None:
        """Let this log say what is printed from now on, and what has waited for it."""
        self._log = log
        self._waiting.pass_on(log.info)

    def stop(self) -> None:
        """Write what is left, and put back what stood there."""
        self.say_rest()
        self._waiting.pass_on(lambda line, **fields: to_stderr("info", line_of(line, fields)))
        if sys.stdout is self and self._before is not None:
            sys.stdout = self._before
        if self._descriptor is not None:
            os.dup2(self._descriptor, 1)
            os.close(self._descriptor)
            self._descriptor = None

    def say_rest(self, item: str | None = None) -> None:
        """Write the lines that were begun and not ended: all, or those of an item, by its id."""
        with self._mutex:
            ended = [key for key in self._begun if item is None or key[1] == item]
            begun = [self._begun.pop(key) for key in ended]
        for context, text in begun:
            context.run(self._say, [text])

    def write(self, text: str) -> int:
        """Take a piece of text."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        item = current_item.get()
        key = (threading.get_ident(), "" if item is None else item.id)
        oldest = None
        with self._mutex:
            before = self._begun.pop(key, None)
            *lines, rest = (text if before is None else before[1] + text).split("\n")
            if len(rest) > LONGEST:
                lines, rest = [*lines, rest], ""
            if rest:
                self._begun[key] = (copy_context(), rest)
            if len(self._begun) > MOST_BEGUN:
                oldest = self._begun.pop(next(iter(self._begun)))
        self._say(lines)
        if oldest is not None:
            oldest[0].run(self._say, [oldest[1]])
        return len(text)

    def writable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Stay open: a handler that closes its standard output does not close that of others."""

    def fileno(self) -> int:
        """Return the descriptor of the stream in whose place it stands."""
        if self._before is None:
            raise io.UnsupportedOperation("fileno")
        return self._before.fileno()

    @property
    def buffer(self) -> object:
        """The bytes of the stream in whose place it stands."""
        if self._before is None:
            raise io.UnsupportedOperation("buffer")
        return self._before.buffer

    def _say(self, lines: Iterable[str]) -> None:
        for line in lines:
            shown = line.rstrip("\r").rpartition("\r")[2]
            if shown.strip():
                log_here(self._log).info(shown, stream="stdout")


class _Waiting:
    """Keeps lines that nobody can say yet: those of modules that are being imported."""

    def __init__(self) -> None:
        self._lines: deque[tuple[str, dict[str, object]]] = deque(maxlen=MOST_BEGUN)

    def info(self, message: str, **fields: object) -> None:
        """Keep a line."""
        self._lines.append((message, fields))

    debug = warn = error = info

    def pass_on(self, say: Callable[..., None]) -> None:
        """Say what waits."""
        while self._lines:
            line, fields = self._lines.popleft()
            say(line, **fields)


def rest_of(item: str) -> None:
    """Say what the handler of an item has begun to print and not ended, as it has ended itself."""
    printed = sys.stdout
    if isinstance(printed, Printed):
        printed.say_rest(item)


def _led_to_stderr(stream: TextIO) -> int | None:
    """Let the descriptor of standard output lead to standard error; return where it led."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if stream.fileno() == 1:
            stream.flush()
            kept = os.dup(1)
            os.dup2(2, 1)
            return kept
    return None
