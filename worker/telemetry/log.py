"""The worker's logger: one line per entry, with the item's context.

1. Lines go to stderr in one form, whatever the client (``log_forms``), and from there through the
   client's own log functions to the collectors that OpenIAP names.
2. What handlers and the client itself say through the client's log functions comes here as well.
3. Everything passes through the masker (``worker.item.masking``): known values and known shapes.
4. A line below the level costs a comparison.
"""

import asyncio
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

from worker.forks import in_children
from worker.item.context import current_item
from worker.item.context import trace as trace_here
from worker.item.masking import hide, masked
from worker.item.trace import Trace
from worker.openiap.errors import OpenIAPError
from worker.standard_streams import mend_standard_streams
from worker.telemetry.log_forms import LEVELS, Entry, Form, Level, bare
from worker.telemetry.ready_line import ReadyLine, Value

T = TypeVar("T")

MOST_KEYS: Final = 1_000
A_WHILE: Final = 60.0
TOGETHER: Final = 0.02
"""Seconds within which the lines of items are written together."""
LONGEST_WAIT: Final = 1.0
"""Seconds after which a loop that was to write them is taken for closed."""
MOST_WAITING: Final = 500


class Sink(Protocol):
    """What passes finished lines on to collectors: ``worker.openiap.client.Client``."""

    def export_line(self, level: Level, line: str) -> None:
        """Take a line; not for a terminal."""


Write = Callable[[str, str], None]
"""Takes a level and a line."""

TellError = Callable[[str, Mapping[str, object]], None]
"""Takes the worker's own errors: a masked text, and the fields of the line."""

ToSay = tuple[ReadyLine, tuple[Value, ...], Trace | None]
"""A line that is ready, with what is to stand in its places: masked texts and finite numbers."""
_Later = tuple[Level, Callable[[Any], ToSay] | None, Any, float]
"""Its level, what makes a line, of what, and when it was said; without that, the line itself."""


def to_stderr(level: str, line: str) -> None:
    """Write a line with its level to stderr; a closed or broken one is no reason to fail."""
    as_it_is(level, f"{level.upper():<7} {line}")


def as_it_is(level: str, line: str) -> None:
    """Write a line that says its level itself."""
    stream = sys.stderr
    try:
        stream.write(f"{line}\n")
        stream.flush()
    except (OSError, ValueError, AttributeError):  # closed, broken, or none at all
        mend_standard_streams()
        with suppress(OSError, ValueError, AttributeError):
            if sys.stderr is not stream:  # else it has kept the line
                sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


class _Outlet:
    """Where the lines of one logger and everything bound to it go; may be used from threads."""

    def __init__(self, level: Level, form: Form, write: Write, clock: Callable[[], float]) -> None:
        self.rank = LEVELS.index(level)
        self.sink: Sink | None = None
        self.clock: Final = clock
        self.worker = ""
        self.tell_error: TellError | None = None
        self.form: Final = form
        self._write = write
        self._waiting: list[_Later] = []
        self._until = 0.0
        self._said: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._mutex = threading.Lock()
        in_children(self, _Outlet._of_a_child)

    def _of_a_child(self) -> None:
        """The client is the parent's, and another thread may have held the lock."""
        self.sink = None
        self._waiting = []
        self._mutex = threading.Lock()

    def write(self, entry: Entry) -> None:
        entry.worker = self.worker
        line = self.form(entry)
        if self._waiting:
            self.write_waiting()
        self._write(entry.level, line)
        self._export(entry)

    def write_soon(self, entry: Entry) -> None:
        """Write a line together with those of the next moment: a system call for each item costs
        more than its line."""
        entry.worker = self.worker
        self.write_later((entry.level, None, self.form(entry), time.time()))
        self._export(entry)

    def write_later(self, line: _Later) -> None:
        """The same for a line that may be made only when it is written."""
        with self._mutex:
            waiting = self._waiting
            waiting.append(line)
            count = len(waiting)
            if 1 < count < MOST_WAITING and line[3] < self._until:
                return
            self._until = line[3] + LONGEST_WAIT
        if count >= MOST_WAITING:
            self.write_waiting()
            return
        try:
            asyncio.get_running_loop().call_later(TOGETHER, self.write_waiting)
        except RuntimeError:  # in a thread of its own
            self.write_waiting()

    def write_waiting(self) -> None:
        """Write what waits."""
        with self._mutex:
            waiting, self._waiting = self._waiting, []
        lines: list[str] = []
        worker, exports = self.worker, self.sink is not None
        for _, tell, told, at in waiting:
            if tell is None:
                lines.append(told)
                continue
            ready, values, trace = tell(told)
            if exports:
                self._export(ready.entry(worker, values, trace, at))
            lines.append(ready.line(worker, values, trace, at))
        if self._write is as_it_is and waiting:
            as_it_is("", "\n".join(lines))
            return
        for one, line in zip(waiting, lines, strict=True):
            self._write(one[0], line)

    def _export(self, entry: Entry) -> None:
        sink = self.sink
        if sink is not None:
            with suppress(Exception):  # whatever a client does, the line is written
                sink.export_line(entry.level, entry.line())

    def due(self, key: str, every: float) -> int | None:
        """Return how often the key was held back since it was last said, or None: not yet."""
        now = self.clock()
        with self._mutex:
            said, held = self._said.get(key, (float("-inf"), 0))
            if now - said < every:
                self._said[key] = (said, held + 1)
                return None
            self._said[key] = (now, 0)
            self._said.move_to_end(key)
            while len(self._said) > MOST_KEYS:
                self._said.popitem(last=False)
        return held


class Log:
    """The worker's logger; ``bind`` makes one whose lines carry more fields.

    Args:
        level: the most that is written.
        form: how a line looks.
        write: takes the lines.
        clock: seconds, for what is said once in a while.
    """

    __slots__ = ("_fields", "_outlet")

    def __init__(
        self,
        level: Level = "info",
        *,
        form: Form = bare,
        write: Write = to_stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outlet = _Outlet(level, form, write, clock)
        self._fields: Mapping[str, object] = {}

    def bind(self, **fields: object) -> "Log":
        """Return a logger on the same outlet whose lines carry these fields as well."""
        bound = Log.__new__(Log)
        bound._outlet = self._outlet
        bound._fields = {**self._fields, **fields}
        return bound

    def use(self, client: Sink | None) -> None:
        """Have a client pass lines on to its collectors from now on; None: nobody does."""
        self._outlet.sink = client
        self._outlet.write_waiting()

    def tell_errors(self, tell: TellError | None) -> None:
        """Have the worker's own errors told, also those of what was bound before; None: no more.
        It is called from whatever thread has one."""
        self._outlet.tell_error = tell

    def speak_for(self, worker: str) -> None:
        """Say whose lines these are, in forms that are for machines."""
        self._outlet.worker = worker

    def hide(self, secret: str) -> None:
        """Replace this text by stars in every line, and in all else that is masked."""
        hide(secret)

    @property
    def level(self) -> Level:
        """The most that is written."""
        return LEVELS[self._outlet.rank]

    def set_level(self, level: Level) -> None:
        """Write up to this level from now on, also through what was bound before."""
        self._outlet.rank = LEVELS.index(level)

    def enabled(self, level: Level) -> bool:
        """Return whether lines of this level are written."""
        return LEVELS.index(level) <= self._outlet.rank

    def error(self, message: str, **fields: object) -> None:
        """Something does not work and needs a person."""
        self._write("error", message, fields)
        tell = self._outlet.tell_error
        if tell is not None and current_item.get() is None:  # what a handler says is on its item
            tell(masked(message), {**self._fields, **fields})

    def warn(self, message: str, **fields: object) -> None:
        """Something does not work now and is being dealt with."""
        if self._outlet.rank >= 1:
            self._write("warn", message, fields)

    def info(self, message: str, **fields: object) -> None:
        """What a person who runs workers wants to know."""
        if self._outlet.rank >= 2:
            self._write("info", message, fields)

    def verbose(self, message: str, **fields: object) -> None:
        """Every item."""
        if self._outlet.rank >= 3:
            self._write("verbose", message, fields)

    def debug(self, message: str, **fields: object) -> None:
        """What a developer wants to know."""
        if self._outlet.rank >= 4:
            self._write("debug", message, fields)

    def trace(self, message: str, **fields: object) -> None:
        """Every step."""
        if self._outlet.rank >= 5:
            self._write("trace", message, fields)

    def once_a_while(
        self,
        key: str,
        message: str,
        *,
        every: float = A_WHILE,
        level: Level = "warn",
        **fields: object,
    ) -> bool:
        """Say something at most every so many seconds, with how often it was held back.

        Returns:
            Whether it was said now.
        """
        if not self.enabled(level):
            return False
        held = self._outlet.due(key, every)
        if held is None:
            return False
        more = {"repeated": held} if held else {}
        self._write(level, message, {**fields, **more})
        return True

    def failed(self, what: str, error: Exception) -> None:
        """Say that something did not work and is tried again.

        An error of OpenIAP's passes, and is a warning once in a while; any other one is a mistake
        of somebody's, and needs a person each time.
        """
        if isinstance(error, OpenIAPError):
            self.once_a_while(what, f"{what}: {error}")
        else:
            self.error(f"{what}: {type(error).__name__}: {error}")

    def masked_already(
        self,
        level: Level,
        message: str,
        *,
        handler: str = "",
        trace: Trace | None = None,
        **fields: object,
    ) -> None:
        """Say something whose texts were masked where they came from.

        For what is said of each item, which must cost next to nothing.
        """
        if self.enabled(level):
            together = {**self._fields, **fields}
            entry = Entry(level, message, together, clean=True, handler=handler, trace=trace)
            self._outlet.write_soon(entry)

    def ready_line(
        self, level: Level, message: str, *, handler: str, traced: bool, **fields: object
    ) -> ReadyLine:
        """Make a line ready that is to be said very often; its texts were masked already.

        Args:
            traced: whether a trace is to come as well.
            fields: with stand-ins for what is to come.
        """
        together = {**self._fields, **fields}
        form = self._outlet.form
        return ReadyLine(form, level, message, together, handler=handler, traced=traced)

    def say_later(self, level: Level, tell: Callable[[T], ToSay], told: T) -> None:
        """Say a line of a level that is written, and make it when it is written: with others.

        Args:
            tell: makes it of ``told``; may be called in another thread.
        """
        self._outlet.write_later((level, tell, told, time.time()))

    def heard(self, level: Level, line: str) -> None:
        """Take what was said through a client's own log functions."""
        if self.enabled(level):
            self._write(level, line, {})

    def _write(self, level: Level, message: str, fields: Mapping[str, object]) -> None:
        together = {**self._fields, **fields} if fields else self._fields
        item, handler, place = current_item.get(), "", None
        if item is not None:
            together = {"item": item.id, "queue": item.queue, "attempt": item.attempt, **together}
            handler, place = item.handler, trace_here()
        self._outlet.write(Entry(level, message, together, handler=handler, trace=place))
