"""Real items and calls for executors: files in a folder, and a log that is kept."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from worker.app.options import Handler
from worker.app.registry import Registered, load_modules
from worker.app.signature import signature_of
from worker.engine.execution import Executor, HandlerCall, make_executor
from worker.item.files import Attachment
from worker.item.item import Item
from worker.openiap.errors import FileTransferError
from worker.openiap.workitem import Workitem, WorkitemFile

try:
    from uvloop import new_event_loop as FAST_LOOP
except ImportError:
    FAST_LOOP = asyncio.new_event_loop

HERE = Path(__file__).parent
SAMPLES = "sample_handlers"


class FolderFiles:
    """Item files whose store is a folder."""

    def __init__(self, store: Path, outputs: Path) -> None:
        self.store = store
        self.outputs = outputs

    async def fetch(self, file: WorkitemFile) -> Path:
        await asyncio.sleep(0)
        path = self.store / file.filename
        if not path.exists():
            raise FileTransferError("did not arrive whole", operation="download", item_id=file.id)
        return path

    async def size(self, file: WorkitemFile) -> int:
        return (self.store / file.filename).stat().st_size

    async def keep(self, source: Path | bytes, name: str) -> Attachment:
        target = self.outputs / name
        if isinstance(source, bytes):
            target.write_bytes(source)
        else:
            shutil.copy(source, target)
        return Attachment(name, target)


@dataclass
class KeptLog:
    lines: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def debug(self, message: str, **fields: object) -> None:
        self.lines.append(("debug", message, fields))

    def info(self, message: str, **fields: object) -> None:
        self.lines.append(("info", message, fields))

    def warn(self, message: str, **fields: object) -> None:
        self.lines.append(("warn", message, fields))

    def error(self, message: str, **fields: object) -> None:
        self.lines.append(("error", message, fields))


class House:
    """Makes items, calls and executors, and stops the executors at the end."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.store = folder / "store"
        self.outputs = folder / "outputs"
        self.store.mkdir()
        self.outputs.mkdir()
        self.log = KeptLog()
        self.changes = 0
        self._stack = stack
        self._count = 0

    def item(
        self, payload: Mapping[str, Any] | None = None, *, files: tuple[str, ...] = ()
    ) -> Item:
        self._count += 1
        workitem = Workitem(
            id=f"id{self._count}",
            name=f"item {self._count}",
            payload=dict(payload or {}),
            wiq="q",
            retries=1,
            files=[WorkitemFile(filename=name, id=f"file-{name}") for name in files],
        )
        return Item(
            workitem,
            files=FolderFiles(self.store, self.outputs),
            log=self.log,
            started=datetime.now(UTC),
            maxretries=5,
        )

    def call(self, registered: Registered, item: Item | None = None, **payload: Any) -> HandlerCall:
        item = item or self.item(payload)
        made: Any = item.payload
        if registered.handler.options.execution != "process":
            made = registered.signature.payload_for(item.payload)
        client: Any = object()
        return HandlerCall(registered, item, made, client, {})

    async def executor(
        self, handler: Handler[..., Any], *, slots: int = 2, start: bool = True
    ) -> tuple[Executor, Registered]:
        registered = Registered(handler, signature_of(handler.function, name=handler.name))
        executor = make_executor(registered, slots=slots, lost_changed=self._changed)
        self._stack.push_async_callback(executor.stop, 0.5)
        if start:
            await executor.start()
        return executor, registered

    def _changed(self) -> None:
        self.changes += 1

    @staticmethod
    def sample(name: str) -> Handler[..., Any]:
        """Return a handler of ``sample_handlers.py`` by its function's name."""
        found = load_modules([SAMPLES], folder=HERE)
        return next(h for h in found if h.function.__name__ == name)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(tmp_path, stack)


@pytest.fixture
def on_fast_loop(tmp_path: Path) -> Callable[[Callable[[House], Awaitable[None]]], None]:
    """Run a scenario on the loop that the worker runs on: uvloop, where there is one."""

    async def scenario(work: Callable[[House], Awaitable[None]]) -> None:
        async with AsyncExitStack() as stack:
            await work(House(tmp_path, stack))

    def run(work: Callable[[House], Awaitable[None]]) -> None:
        with asyncio.Runner(loop_factory=FAST_LOOP) as runner:
            runner.run(scenario(work))

    return run


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Wait until a condition holds, within a deadline."""

    async def wait(condition: Callable[[], bool], seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)

    return wait
