"""The child of a process handler: imports the handler once, then runs one item after another.

1. The main thread runs handlers, ``async def`` ones on a loop of its own.
2. A second thread listens to the worker: requests to stop, questions for the stack, answers about
   files. At the end of the pipe the worker is gone, and so is this process.
3. It never signs in to OpenIAP, and leaves SIGINT and SIGTERM to the worker.
4. What handlers print, and what Python's ``logging`` says, are lines of the worker's, which come
   over the pipe. The standard output is the pipe: what writes to the descriptor, as programs that
   handlers start, writes to the standard error stream.
"""

import asyncio
import contextlib
import ctypes
import faulthandler
import inspect
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Coroutine
from contextvars import copy_context
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NoReturn, TypeVar

from pydantic import ValidationError

from worker._version import __version__
from worker.app.registry import Registered, load_modules
from worker.app.signature import signature_of
from worker.engine.execution.offspring import Leftovers, adopt, end_below
from worker.engine.execution.pipe import Channel, Message, PipeError
from worker.engine.execution.raised import as_exception, as_raised
from worker.engine.execution.remote import error_to_message
from worker.engine.execution.remote_item import PipeFiles, PipeLog, item_from_message
from worker.engine.execution.stacks import stack_of_error, stack_of_task, stack_of_thread
from worker.engine.execution.usage import bound_memory, memory_broken, own_cpu, own_peak
from worker.engine.execution.variables import all_variables_of
from worker.errors import BusinessError, HandlerError
from worker.forks import Origin, awaited_here, guard_signals, in_children
from worker.item.context import current_item, current_namespace, current_worker
from worker.item.error_chain import ResultError
from worker.item.error_text import clip
from worker.item.item import Item
from worker.item.long_work import Asleep
from worker.item.outcome import invalid_payload
from worker.item.result import result_fields
from worker.standard_streams import keep_standard_streams, mend_standard_streams
from worker.telemetry.printed import Printed
from worker.telemetry.spans import within
from worker.telemetry.standard_logging import StandardLogging
from worker.telemetry.tracing import Tracing

if sys.platform == "win32":
    import msvcrt

T = TypeVar("T")

DEATH_OF_PARENT: Final = 1  # PR_SET_PDEATHSIG, prctl(2)
LAST_SECONDS: Final = 2.0
MAX_VARIABLES: Final = 30_000


class _Run:
    """The item that is being worked, as the listening thread sees it."""

    def __init__(self, number: int, item: Item, files: PipeFiles) -> None:
        self.number = number
        self.item = item
        self.files = files
        self.asked = False
        self.task: asyncio.Task[Any] | None = None

    def stop(self) -> None:
        """In the listening thread: ask the handler to end."""
        self.asked = True
        self.item.stop()
        task = self.task
        if task is not None:
            with contextlib.suppress(RuntimeError):
                task.get_loop().call_soon_threadsafe(task.cancel)

    def stack(self) -> str:
        """In the listening thread: say where the handler is."""
        task = self.task
        if task is None or asyncio.current_task(task.get_loop()) is task:
            return stack_of_thread(threading.main_thread().ident)
        return stack_of_task(task)


class Child:
    """Runs the items that come over the pipe."""

    def __init__(
        self,
        channel: Channel,
        registered: Registered,
        memory: int | None,
        runner: asyncio.Runner,
    ) -> None:
        self._channel = channel
        self._registered = registered
        self._memory = memory
        self._runner = runner
        self._inbox: SimpleQueue[Message | None] = SimpleQueue()
        self._run: _Run | None = None
        self._leftovers = Leftovers()
        self._lock = threading.Lock()
        self._early: int | None = None
        """The run that was asked to stop before this process had begun it."""
        log = PipeLog(channel, heard=lambda: self._run is not None)
        self._printed = Printed(log)
        self._standard_logging = StandardLogging(log)

    def serve(self) -> None:
        """Work until the pipe ends."""
        self._printed.start(descriptor=False)  # it leads there already
        self._standard_logging.start()
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        self._channel.send({"type": "ready", "cpu": own_cpu()})
        while (message := self._inbox.get()) is not None:
            self._work(message)

    def _listen(self) -> None:
        try:
            while (message := self._channel.read()) is not None:
                self._received(message)
        except (OSError, PipeError):
            pass
        finally:
            self._leave()

    def _received(self, message: Message) -> None:
        kind, run = message["type"], self._run
        if kind == "run":
            self._inbox.put(message)
        elif kind == "stop":
            self._stop(message["run"])
        elif run is None or message["run"] != run.number:
            return
        elif kind == "answer":
            run.files.answered(message)
        elif kind == "stack":
            self._channel.send({"type": "stack", "run": run.number, "stack": run.stack()})

    def _stop(self, number: int) -> None:
        # The lock: it is either the run that begins or this thread that tells the handler, once.
        with self._lock:
            run = self._run
            if run is None or run.number != number:
                self._early = number
                return
        run.stop()

    def _begin(self, run: _Run) -> None:
        with self._lock:
            self._run = run
            early, self._early = self._early, None
        if early == run.number:
            run.stop()

    def _leave(self) -> None:
        """The worker is gone: a handler in the middle of an item is not to go on with it."""
        if self._run is None:
            self._inbox.put(None)
            threading.Event().wait(LAST_SECONDS)
        _exit_now()

    def _work(self, message: Message) -> None:
        files = PipeFiles(self._channel, message["run"])
        current_worker.set(str(message["item"].get("worker", "")))
        run = _Run(message["run"], item_from_message(message["item"], self._channel, files), files)
        before, origin = own_peak(), Origin()
        self._leftovers.begin()
        self._begin(run)
        try:
            end = self._end_of(run, origin)
        finally:
            self._printed.say_rest()
            mend_standard_streams()
            self._run = None
        self._leftovers.end()
        peak = own_peak()
        end |= {"run": run.number, "cpu": own_cpu(), "peak": peak if peak > before else 0}
        try:
            self._channel.send(end)
        except ValueError as error:  # larger than a frame; the worker refuses far smaller ones
            name = self._registered.name
            self._channel.send(end | self._raised(ResultError(f"{name}: the result: {error}")))

    def _end_of(self, run: _Run, origin: Origin) -> Message:
        try:
            value = self._handled(run, origin)
            origin.end_copy()
            return self._result(value)
        except asyncio.CancelledError as error:
            if run.asked:
                return {"type": "stopped", "stack": stack_of_error(error.__traceback__)}
            return self._raised(error)
        except BaseException as error:  # SystemExit too: it ends the item, not this process
            origin.end_copy(error)
            return self._raised(error)

    def _handled(self, run: _Run, origin: Origin) -> Any:
        registered, item = self._registered, run.item
        signature, function = registered.signature, registered.handler.function
        try:
            payload = signature.payload_for(item.payload)
        except ValidationError as error:
            invalid = invalid_payload(error, handler=registered.name)
            raise BusinessError(invalid.message) from None
        client: Any = None  # process handlers with a Client parameter are refused at start
        arguments = signature.arguments(payload, item, client, {})
        context = copy_context()
        context.run(current_item.set, item)
        context.run(within, item.trace)
        if item.has_metadata and item.metadata.namespace:
            context.run(current_namespace.set, item.metadata.namespace)
        if not inspect.iscoroutinefunction(function):
            item.wait_through(self._bridge)
        value = context.run(function, **arguments)
        if inspect.isawaitable(value):
            work = self._awaited(run, awaited_here(value, origin))
            value, raised = self._runner.run(work, context=context)
            if raised is not None:
                raise raised
        return value

    @staticmethod
    async def _awaited(run: _Run, work: Awaitable[Any]) -> tuple[Any, BaseException | None]:
        run.task = asyncio.current_task()
        if run.asked and run.task is not None:
            run.task.cancel()
        try:
            return await work, None
        except BaseException as error:  # SystemExit would leave the loop half stopped
            return None, error
        finally:
            run.task = None

    def _bridge(self, work: Coroutine[Any, Any, T]) -> T:
        if threading.current_thread() is threading.main_thread():
            return self._runner.run(work)
        return asyncio.run(work)

    def _result(self, value: Any) -> Message:
        if not self._registered.handler.options.store:
            return {"type": "result", "value": None}
        fields = result_fields(
            value, handler=self._registered.name, wrap=self._registered.signature.wraps
        )
        return {"type": "result", "value": fields}

    def _raised(self, error: BaseException) -> Message:
        name = self._registered.name
        if isinstance(error, MemoryError) and self._memory is not None:
            # The frames of the traceback still hold what filled the memory.
            traceback.clear_frames(error.__traceback__)
            broken = memory_broken(name, self._memory, own_peak())
            broken.stack = stack_of_error(error.__traceback__)
            return {"type": "raised", "error": error_to_message(broken), "spent": True}
        raised = as_raised(error, name)
        if isinstance(raised, Asleep):
            return {"type": "asleep"}
        known = as_exception(raised, name)
        if self._registered.handler.options.evidence:
            with contextlib.suppress(AttributeError):
                known.variables = clip(all_variables_of(error), MAX_VARIABLES)  # type: ignore[attr-defined]
        return {"type": "raised", "error": error_to_message(known)}


def main() -> None:
    """Serve the worker that started this process."""
    channel = _channel()
    start = channel.read()
    if start is None:
        return
    _bind_to_parent(start["parent"])
    _watch_for_faults(start["faults"])
    guard_signals()
    adopt()
    in_children(channel, lambda _: _watch_no_more())
    sys.path[:] = start["path"]
    try:
        registered = _handler(start)
    except HandlerError as error:
        channel.send({"type": "refused", "message": str(error)})
        return
    if start["memory"] is not None:
        bound_memory(start["memory"])
    tracing = Tracing(
        start["trace_url"], version=__version__, environment=os.environ, report=lambda _: None
    )
    tracing.start()
    with asyncio.Runner() as runner:
        Child(channel, registered, start["memory"], runner).serve()
    tracing.close()
    end_below(os.getpid())


def _channel() -> Channel:
    """Take the standard streams for the pipe, and leave the handlers others."""
    channel = Channel(_binary(os.dup(0)), _binary(os.dup(1)))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    keep_standard_streams()
    return channel


def _binary(fd: int) -> int:
    if sys.platform == "win32":
        msvcrt.setmode(fd, os.O_BINARY)
    return fd


def _bind_to_parent(parent: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN: programs that handlers start would inherit it.
        signal.signal(number, lambda *_: None)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(DEATH_OF_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            _exit_now()


def _watch_for_faults(fd: int | None) -> None:
    if fd is None:
        return
    os.set_inheritable(fd, False)
    faulthandler.enable(file=fd, all_threads=False)
    if sys.platform != "win32":
        faulthandler.register(signal.SIGUSR2, file=fd, all_threads=False, chain=False)


def _watch_no_more() -> None:
    """In a forked child: the file for stacks is its parent's."""
    faulthandler.disable()
    if sys.platform != "win32":
        faulthandler.unregister(signal.SIGUSR2)


def _handler(start: Message) -> Registered:
    folder = None if start["folder"] is None else Path(start["folder"])
    for found in load_modules(start["modules"], folder=folder):
        if found.name == start["handler"] and found.options.queue == start["queue"]:
            return Registered(found, signature_of(found.function, name=found.name))
    raise HandlerError(
        f"Handler {start['handler']} of queue {start['queue']} is not in"
        f" {', '.join(start['modules'])} when a process imports it."
    )


def _exit_now() -> NoReturn:
    """End at once, with the programs that the handler has started."""
    end_below(os.getpid())
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
