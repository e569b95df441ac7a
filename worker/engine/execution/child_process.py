"""One child of a process handler, as the worker holds it: started, spoken to, killed, buried."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast

import psutil

from worker.engine.execution.offspring import MARK, end_marked, stop_and_end
from worker.engine.execution.pipe import Frames, Message, PipeError, frame
from worker.engine.execution.stacks import UNKNOWN, stack_of_frames
from worker.engine.execution.usage import fault_frames
from worker.errors import HandlerError
from worker.import_path import path_for_children
from worker.package_path import IMPORT_ROOT, OWN_CODE

START_TIMEOUT: Final = 120.0
LAST_SECONDS: Final = 0.5
"""Between the end of the pipe and that of the process; what is left in the pipe is still read."""
BOOT: Final = (
    "import sys; sys.path[:] = sys.argv[1:]; del sys.argv[1:];"
    " from worker.engine.execution.child import main; main()"
)
# Not "-m worker.engine.execution.child": the package need not be on the path of a fresh
# interpreter, and of the worker's environment only a mark is added for what handlers start.


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What a child is to import and to be.

    Attributes:
        handler, queue: which of the modules' handlers it runs.
        modules, folder: as ``load_modules`` takes them.
        memory: bytes, or None.
        trace_url: where spans go; "" for nowhere.
    """

    handler: str
    queue: str
    modules: Sequence[str]
    folder: Path | None
    memory: int | None
    trace_url: str = ""


class Listener(Protocol):
    """Who works with a child: takes what it says of the present item."""

    def received(self, message: Message) -> None:
        """Take a message of the child."""

    def exited(self, code: int) -> None:
        """The child has ended with this return code (negative: a signal)."""


class _ChildProtocol(asyncio.SubprocessProtocol):
    """What the loop sees of a child: bytes, the end of the pipe, the end of the process.

    The two ends are told apart, which asyncio's own ``Process.wait`` does not do: a program that
    the handler has forked may hold the pipe open after the child is gone.
    """

    def __init__(self, received: Callable[[Message], None]) -> None:
        loop = asyncio.get_running_loop()
        self._received = received
        self._frames = Frames()
        self.pipe_ended: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if self.pipe_ended.done():
            return
        try:
            for message in self._frames.feed(data):
                self._received(message)
        except (PipeError, KeyError, TypeError, ValueError):
            self._end_pipe()  # a handler wrote into the pipe: nothing after it can be trusted

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self._end_pipe()

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)

    def _end_pipe(self) -> None:
        if not self.pipe_ended.done():
            self.pipe_ended.set_result(None)


class ChildProcess:
    """A child that imports the handler once and then runs item after item.

    Attributes:
        listener: who works with it now; None while it is idle.
        killed: it is to end, or has ended.
        cpu: CPU seconds that it had used after its last item.
    """

    def __init__(self, ended: "Callable[[ChildProcess], None]") -> None:
        """Make one that is not started yet; ``ended`` is called once when it is gone."""
        self._mark = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._tended = False
        """What it has started is ended by whoever ends it."""
        self._faults = _fault_file()
        self._faults_read = 0
        self._faults_seen = 0
        self._ended = ended
        self._ends = _ChildProtocol(self._received)
        self._transport: asyncio.SubprocessTransport | None = None
        self._greeting: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._seen: psutil.Process | None = None
        self._life: asyncio.Task[None] | None = None
        self.listener: Listener | None = None
        self.killed = False
        self.cpu = 0.0

    async def start(self, spec: ChildSpec) -> None:
        """Start the process and wait until it has imported its handler; if that fails, end it.

        Args:
            spec: what it is to be.

        Raises:
            HandlerError: it cannot import the handler, ended, or was not ready in time.
            OSError: no process can be started.
        """
        try:
            await self._start()
            async with asyncio.timeout(START_TIMEOUT):
                await self._greet(spec)
        except TimeoutError:
            await self.end()
            raise HandlerError(
                f"Handler {spec.handler}: its process was not ready after {START_TIMEOUT:.0f} s."
            ) from None
        except BaseException:
            await self.end()
            raise

    async def _start(self) -> None:
        more: dict[str, Any] = {}
        if self._faults is not None:
            # A session of its own: Ctrl-C in the terminal is the worker's alone, and one signal
            # ends the child with every program that its handler has started.
            more = {"pass_fds": (self._faults.fileno(),), "start_new_session": True}
        loop = asyncio.get_running_loop()
        transport, _ = await loop.subprocess_exec(
            lambda: self._ends,
            sys.executable,
            *("-c", BOOT, *path_for_children(str(IMPORT_ROOT))),
            stderr=None,
            # What Python says, without what is meant for the official library alone.
            env={**os.environ, MARK: self._mark},
            **more,
        )
        self._transport = transport
        self._life = loop.create_task(self._live(transport))

    async def _greet(self, spec: ChildSpec) -> None:
        self.send(
            {
                "type": "start",
                "parent": os.getpid(),
                "faults": None if self._faults is None else self._faults.fileno(),
                "path": sys.path,
                "handler": spec.handler,
                "queue": spec.queue,
                "modules": list(spec.modules),
                "folder": None if spec.folder is None else str(spec.folder),
                "memory": spec.memory,
                "trace_url": spec.trace_url,
            }
        )
        waited: set[asyncio.Future[Any]] = {self._greeting, self._ends.exited}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not self._greeting.done():
            await asyncio.wait({self._greeting}, timeout=LAST_SECONDS)
        if not self._greeting.done():
            raise HandlerError(
                f"Handler {spec.handler}: its process ended with code {self._code()} before it was"
                " ready; what it said stands in the worker's error output."
            )
        message = self._greeting.result()
        if message["type"] == "refused":
            raise HandlerError(str(message["message"]))

    def _received(self, message: Message) -> None:
        if "cpu" in message:
            self.cpu = float(message["cpu"])
        if not self._greeting.done():
            self._greeting.set_result(message)
        elif self.listener is not None:
            self.listener.received(message)

    async def _live(self, transport: asyncio.SubprocessTransport) -> None:
        ends = {self._ends.pipe_ended, self._ends.exited}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        self.killed = True  # nobody is to be handed over to it now
        await asyncio.wait(ends, timeout=LAST_SECONDS)
        try:
            self._kill_all()
            await self._ends.exited
            if not self._tended:
                await asyncio.to_thread(end_marked, self._mark)
        except (OSError, RuntimeError, psutil.Error):
            pass  # what cannot be looked for; the slot has to come back all the same
        transport.close()
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.exited(self._code())
        if self._faults is not None:
            self._faults.close()
        self._ended(self)

    def _code(self) -> int:
        code = None if self._transport is None else self._transport.get_returncode()
        return 0 if code is None else code

    @property
    def gone(self) -> bool:
        """True once the process has really ended."""
        return self._transport is None or self._transport.get_returncode() is not None

    def seen(self) -> psutil.Process | None:
        """Return the process for measuring, or None when it is gone."""
        if self._seen is None and self._transport is not None:
            with contextlib.suppress(psutil.Error):
                self._seen = psutil.Process(self._transport.get_pid())
        return self._seen

    def send(self, message: Message) -> None:
        """Send a message; one to a dead child is dropped.

        Raises:
            TypeError, ValueError: it has no JSON form.
        """
        data = frame(message)
        pipe = self._stdin()
        if pipe is not None and not pipe.is_closing():
            pipe.write(data)

    def _stdin(self) -> asyncio.WriteTransport | None:
        # A cast: uvloop's transports are no subclasses of asyncio's.
        pipe = None if self._transport is None else self._transport.get_pipe_transport(0)
        return cast("asyncio.WriteTransport | None", pipe)

    def ask_for_dump(self) -> bool:
        """Let the child write its stack even if native code holds its interpreter.

        Returns:
            False where the system cannot.
        """
        if sys.platform == "win32" or self._transport is None or self.gone:
            return False
        with contextlib.suppress(ProcessLookupError):
            self._transport.send_signal(signal.SIGUSR2)
        return True

    def dump(self, *, writing: bool = False) -> str:
        """Return the newest stack that the child wrote by ``ask_for_dump``, or as it crashed.

        Args:
            writing: it may still be at it. What may be half of a stack is none: it grows from look
                to look, or does not reach the code that called the handler.
        """
        if self._faults is None or self._faults.closed:
            return UNKNOWN
        fd = self._faults.fileno()
        text = os.pread(fd, 1 << 16, self._faults_read)
        frames = fault_frames(text.decode("utf-8", "replace"))
        if writing:
            grows, self._faults_seen = len(text) != self._faults_seen, len(text)
            if grows or not any(frame[0].startswith(OWN_CODE) for frame in frames):
                return UNKNOWN
        stack = stack_of_frames(frames)
        if stack != UNKNOWN:
            self._faults_read += len(text)  # what has no frame yet may be the beginning of a dump
        return stack

    def kill(self) -> None:
        """Kill the child and what its handler has started; ``ended`` is called when it is gone."""
        self.killed = True
        self._kill_all()

    async def end(self) -> None:
        """End the child: its pipe is closed, and if that is not enough, it is killed."""
        self.killed = True
        self._tended = True  # by the child, when its pipe ends
        pipe = self._stdin()
        if pipe is not None:
            pipe.close()
        if self._life is not None:
            if self._greeting.done():
                await asyncio.wait([self._life], timeout=LAST_SECONDS)
            self._kill_all()
            await asyncio.wait([self._life])
        elif self._faults is not None:
            self._faults.close()

    def _kill_all(self) -> None:
        """Kill the process and what it has started; its group may outlive it."""
        transport = self._transport
        if transport is None:
            return
        if not self.gone:
            self._tended = True
            stop_and_end(transport.get_pid())
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform != "win32":
                os.killpg(transport.get_pid(), signal.SIGKILL)
            elif not self.gone:
                transport.kill()


def _fault_file() -> IO[bytes] | None:
    """Return a file in which a child tells where it was when a signal struck it."""
    if sys.platform == "win32":
        return None
    return tempfile.TemporaryFile()
