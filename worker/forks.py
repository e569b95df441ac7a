"""What a forked child has no part in: it is a copy of the worker's memory, and not the worker.

Handlers fork: by ``os.fork``, ``multiprocessing``, a process pool. A child made in that way shares
every descriptor with the worker and has a copy of every object, but of all threads only the one
that forked.

1. ``guard_signals``: in a child, signals do what they do in any program. The worker's loop hears of
   signals by a descriptor that the child shares: one sent to the child would reach the worker.
2. In such a child the standard streams are fresh. Another thread may have been writing at the fork,
   and a stream that was copied while it was locked stays locked: the child would hang when it ends,
   as ``multiprocessing`` flushes then, and with it whoever joins it.
3. ``in_children``: who holds what two must not use says how a child's copy is made harmless.
4. ``Origin``: a child whose function comes back into the worker's code ends there.

Programs that are started (``subprocess``, spawned children) inherit none of this. Where a system
cannot fork nothing is done here.
"""

import contextlib
import functools
import io
import itertools
import os
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Final, TypeVar

from worker.package_path import FILES_BY_PATH

T = TypeVar("T")

FAILED: Final = 1
OF_THE_WORKER: Final = ("asyncio", "uvloop", "worker")
"""The packages whose signal handlers are the worker's and not a program's own."""


class _Children:
    """What happens in every child of this process.

    One hook for all: a signal that came between two would be raised inside the second, and leave
    undone what that one does.
    """

    def __init__(self) -> None:
        self.signals = False
        self.generation = 0
        """How many forks lie between this process and the one that was started."""
        self._owners: dict[int, tuple[weakref.ref[Any], Callable[[Any], object]]] = {}
        self._numbers = itertools.count()
        self._held = threading.local()
        self._copies: list[object] = []
        """Streams of the parent: one that is collected flushes itself, which may hang."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before, after_in_parent=self._after, after_in_child=self._in_child
            )

    def add(self, owner: T, forget: Callable[[T], object]) -> None:
        number = next(self._numbers)
        gone = weakref.ref(owner, lambda _: self._owners.pop(number, None))
        self._owners[number] = (gone, forget)

    def _before(self) -> None:
        # A signal to the child must not come while it still has the worker's handlers.
        self._held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    def _after(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._held.mask)

    def _in_child(self) -> None:
        self.generation += 1
        try:
            for own, forget in list(self._owners.values()):
                alive = own()
                if alive is not None:
                    with contextlib.suppress(Exception):
                        forget(alive)
            if self.signals:
                own_signals()
                self._copies += [fresh_stream("stdout"), fresh_stream("stderr")]
            interrupted = signal.getsignal(signal.SIGINT)
            # One that came meanwhile ends the child; raised in here, the error would be dropped.
            if interrupted != signal.SIG_IGN:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
        finally:
            self._after()
        signal.signal(signal.SIGINT, interrupted)


@functools.cache
def _children() -> _Children:
    return _Children()


def in_children(owner: T, forget: Callable[[T], object]) -> None:
    """Call ``forget(owner)`` in every child that is forked while the owner lives.

    Args:
        forget: makes the child's copy harmless; what it raises is dropped, since there is nobody to
            tell. It must not hold the owner.
    """
    _children().add(owner, forget)


def blind(descriptor: int) -> None:
    """Let a descriptor lead nowhere.

    Not closed: its number would be given to the next file that the child opens, and whoever holds
    the copy could still write to that.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    if descriptor != nothing:
        os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)


def guard_signals() -> None:
    """From now on children of this process begin with signals and standard streams of their own."""
    _children().signals = True


def own_signals() -> None:
    """Give this process signals of its own: no wake-up descriptor, and for what the worker catches
    what Python does in a fresh program; handlers of the user's stay."""
    with contextlib.suppress(ValueError):  # not the main thread: it is, in a child
        signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number == signal.SIGCHLD or _is_the_workers(signal.getsignal(number)):
            fresh = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            with contextlib.suppress(ValueError, OSError):
                signal.signal(number, fresh)


def fresh_stream(name: str) -> object:
    """Replace a standard stream by one that nobody has locked and that holds nothing.

    What was in it is the parent's to write. One that is not the program's own, such as one that is
    captured, stays.

    Args:
        name: ``stdout`` or ``stderr``.

    Returns:
        What was replaced, to be kept; None where nothing was.
    """
    old = getattr(sys, name)
    if old is not getattr(sys, f"__{name}__") or not isinstance(old, io.TextIOWrapper):
        return None
    if not isinstance(old.buffer, io.BufferedWriter):
        return None  # unbuffered: there is no lock
    try:
        raw = io.FileIO(old.fileno(), "wb", closefd=False)
        fresh = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=old.encoding,
            errors=old.errors,
            line_buffering=old.line_buffering,
            write_through=old.write_through,
        )
    except (OSError, ValueError):  # closed
        return None
    setattr(sys, name, fresh)
    setattr(sys, f"__{name}__", fresh)
    return old


def _is_the_workers(handler: object) -> bool:
    if isinstance(handler, int | None):  # SIG_DFL, SIG_IGN, or one that Python does not know
        return False
    function = getattr(handler, "func", handler)
    kind = type(getattr(function, "__self__", function)).__module__
    module = getattr(function, "__module__", None) or kind
    users = module.startswith(FILES_BY_PATH)
    return not users and module.partition(".")[0] in OF_THE_WORKER


class Origin:
    """The process in which something began."""

    __slots__ = ("_generation",)

    def __init__(self) -> None:
        # Counted: to ask the system for the process's number costs far more.
        self._generation = _children().generation

    @property
    def left(self) -> bool:
        """Whether this is another process by now: a forked child."""
        return _children().generation != self._generation

    def end_copy(self, error: BaseException | None = None) -> None:
        """In a forked child end the process, with the exit code of a program that came to its end
        with this error; else do nothing."""
        if self.left:
            _leave(error)


@coroutine
def awaited_here(work: Awaitable[T], origin: Origin) -> Generator[Any, Any, T]:
    """Await ``work``; a forked child that comes out of one of its steps ends.

    It would go on as a second worker on the loop of the first.
    """
    steps = work if isinstance(work, Coroutine) else _awaited(work)
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        try:
            step = steps.send(sent) if thrown is None else steps.throw(thrown)
        except StopIteration as stop:
            origin.end_copy()
            value: T = stop.value
            return value
        except BaseException as error:
            origin.end_copy(error)
            raise
        origin.end_copy(RuntimeError("a forked child cannot await on the loop of the worker"))
        sent, thrown = None, None
        try:
            sent = yield step
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:
            thrown = error


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def _leave(error: BaseException | None) -> None:
    """End at once: what is tidied up at exit is the parent's."""
    code = 0
    try:
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            if not isinstance(error.code, int | None):
                sys.stderr.write(f"{error.code}\n")
        elif error is not None:
            code = FAILED
            traceback.print_exception(error)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code & 0xFF)
