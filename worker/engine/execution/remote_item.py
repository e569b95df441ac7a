"""The item on the other side of the pipe: a real ``Item`` whose files, metadata, pushes and log
lines go back.

Only paths travel: the worker downloads and keeps the files, the child learns where they are.
"""

import asyncio
import contextlib
import itertools
import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from worker.engine.execution.pipe import Channel, Message
from worker.engine.execution.remote import error_from_message
from worker.engine.execution.remote_groups import PipeGroups
from worker.engine.execution.remote_pushes import push_to_message
from worker.item.cancelled import Cancelling
from worker.item.context import worker_id
from worker.item.files import Attachment
from worker.item.item import Item
from worker.item.long_work import StepClock
from worker.item.metadata import KEY, STEPS, taken_out
from worker.item.new_item import FollowUp, Push, Sent
from worker.item.steps import Part
from worker.item.trace import Trace
from worker.openiap.values import json_text
from worker.openiap.workitem import JsonObject, Workitem, WorkitemFile
from worker.telemetry.log import to_stderr
from worker.telemetry.log_forms import line_of

LEVELS: Final = ("debug", "info", "warn", "error")


def item_to_message(item: Item) -> Message:
    """Return what a child needs to know of an item."""
    return {
        "id": item.id,
        "name": item.name,
        "queue": item.queue,
        "worker": worker_id(),
        "priority": item.priority,
        "payload": item.payload,
        "attempt": item.attempt,
        "attempts_left": item.attempts_left,
        "started": item.started.isoformat(),
        "deadline": None if item.deadline is None else item.deadline.isoformat(),
        "files": [{"name": file.name, "id": file.id} for file in item.files.values()],
        "metadata": item.metadata.content() if item.has_metadata else None,
        "trace": None if item.trace is None else [item.trace.traceparent, item.trace.tracestate],
    }


def item_from_message(message: Mapping[str, Any], channel: Channel, files: "PipeFiles") -> Item:
    """Make the child's item."""
    attempt, left = int(message["attempt"]), message["attempts_left"]
    workitem = Workitem(
        id=message["id"],
        name=message["name"],
        payload=message["payload"],
        priority=message["priority"],
        wiq=message["queue"],
        retries=attempt - 1,
        files=[WorkitemFile(filename=file["name"], id=file["id"]) for file in message["files"]],
    )
    kept = message["metadata"]
    metadata = None if kept is None else taken_out({KEY: kept})[1]
    deadline = message["deadline"]
    return Item(
        workitem,
        files=files,
        log=PipeLog(channel),
        started=datetime.fromisoformat(message["started"]),
        deadline=None if deadline is None else datetime.fromisoformat(deadline),
        maxretries=None if left is None else attempt + int(left),
        metadata=metadata,
        store=PipeStore(files),
        trace=None if message["trace"] is None else Trace(*message["trace"]),
    )


class PipeFiles:
    """The item's files, asked for over the pipe from whatever loop the handler awaits on."""

    def __init__(self, channel: Channel, run: int) -> None:
        self._channel = channel
        self._run = run
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._asked: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Future[Any]]] = {}

    async def fetch(self, file: WorkitemFile) -> Path:
        """Let the worker download a file; return where it is."""
        return Path(await self.ask("fetch", name=file.filename, id=file.id))

    async def size(self, file: WorkitemFile) -> int:
        """Return the stored length in bytes."""
        return int(await self.ask("size", name=file.filename, id=file.id))

    async def keep(self, source: Path | bytes, name: str) -> Attachment:
        """Let the worker copy an output to where it outlives this process."""
        if isinstance(source, Path):
            kept = await self.ask("keep", path=str(source.absolute()), name=name)
            return Attachment(name, Path(kept))
        path = await asyncio.to_thread(_spilled, source)
        try:
            return await self.keep(path, name)
        finally:
            with contextlib.suppress(OSError):
                path.unlink()

    def answered(self, message: Message) -> None:
        """In the pipe's thread: hand an answer to who asked."""
        with self._lock:
            loop, future = self._asked.pop(message["number"], (None, None))
        if loop is None or future is None:
            return
        with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, future, message)

    async def ask(self, what: str, **fields: Any) -> Any:
        """Ask the worker and wait for its answer."""
        if self._channel.copied:
            raise RuntimeError("a forked child cannot ask the worker: its item is the worker's")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        number = next(self._numbers)
        with self._lock:
            self._asked[number] = (loop, future)
        ask = {"type": "ask", "run": self._run, "number": number, "what": what, **fields}
        self._channel.send(ask)
        return await future


class PipeStore:
    """What the handler asks of the worker besides files; the worker's own ``Checkpoints`` do it."""

    def __init__(self, pipe: PipeFiles) -> None:
        self._pipe = pipe

    @property
    def sender(self) -> "PipeSender":
        """Who carries pushes that do not wait for the item's end: the worker, over the pipe."""
        return PipeSender(self._pipe)

    async def save(self, item: Item, *, now: bool) -> None:
        """Let the worker store the metadata; steps it has already."""
        content = item.metadata.content()
        content.pop(STEPS, None)
        await self._pipe.ask("save", metadata=content, now=now)

    async def keep(self, item: Item, part: Part, key: str) -> None:
        """Let the worker store an entry of the item's steps."""
        entry = item.steps.entry(part, key)
        await self._pipe.ask("keep_entry", part=part, key=key, entry=entry)

    async def clock(self, item: Item) -> StepClock:
        """Let the worker say what time it is."""
        now, awake = await self._pipe.ask("clock")
        return StepClock(datetime.fromisoformat(now), awake)

    async def sleeps(self, item: Item, until: datetime) -> None:
        """Tell the worker that the item falls asleep."""
        await self._pipe.ask("sleeps", until=until.isoformat(), waits=item.open_waits)

    async def signals(self, item_id: str, name: str, past: list[str]) -> list[JsonObject]:
        """Let the worker look for signals."""
        found: list[JsonObject] = await self._pipe.ask("signals", name=name, past=past)
        return found

    async def pass_over(self, item_id: str, signal_id: str, why: str) -> None:
        """Let the worker say why a signal does not fit."""
        await self._pipe.ask("pass_over", id=signal_id, why=why)

    async def accept(self, item: Item, push: Push) -> FollowUp:
        """Let the worker keep a follow-up item."""
        return FollowUp.read(await self._pipe.ask("follow_up", push=push_to_message(push)))


class PipeSender:
    """Pushes that do not wait; see ``worker.item.new_item.Sender``."""

    def __init__(self, pipe: PipeFiles) -> None:
        self._pipe = pipe
        self.groups = PipeGroups(pipe.ask)

    async def send(self, pushes: Sequence[Push]) -> list[Sent]:
        """Let the worker push all."""
        sent = await self._pipe.ask("send", pushes=[push_to_message(push) for push in pushes])
        return [Sent(**one) for one in sent]

    async def ended(self, item_id: str, queue: str, timeout: float | None) -> JsonObject:
        """Let the worker wait for an item's end."""
        document: JsonObject = await self._pipe.ask(
            "ended", id=item_id, queue=queue, timeout=timeout
        )
        return document

    async def look(self, item_id: str) -> JsonObject:
        """Let the worker look at an item."""
        document: JsonObject = await self._pipe.ask("look", id=item_id)
        return document

    async def cancel(self, item_id: str, reason: str) -> Cancelling:
        """Let the worker cancel an item."""
        found: Cancelling = await self._pipe.ask("cancel", id=item_id, reason=reason)
        return found

    async def signal(self, item_id: str, name: str, text: str, key: str) -> str:
        """Let the worker send a signal."""
        return str(await self._pipe.ask("signal", id=item_id, name=name, text=text, key=key))


def _settle(future: "asyncio.Future[Any]", message: Message) -> None:
    if future.done():
        return
    if message["error"] is None:
        future.set_result(message["value"])
    else:
        future.set_exception(error_from_message(message["error"]))


def _spilled(content: bytes) -> Path:
    handle, path = tempfile.mkstemp(prefix="attachment-")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return Path(path)


class PipeLog:
    """The item's log lines, written by the worker.

    Args:
        heard: whether the worker hears of lines now: it does while it waits for an item's end.
    """

    def __init__(self, channel: Channel, heard: Callable[[], bool] = lambda: True) -> None:
        self._channel = channel
        self._heard = heard

    def debug(self, message: str, **fields: object) -> None:
        """Let the worker log a line."""
        self._line("debug", message, fields)

    def info(self, message: str, **fields: object) -> None:
        """Let the worker log a line."""
        self._line("info", message, fields)

    def warn(self, message: str, **fields: object) -> None:
        """Let the worker log a line."""
        self._line("warn", message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Let the worker log a line."""
        self._line("error", message, fields)

    def _line(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        shown = {name: _shown(value) for name, value in fields.items()}
        if self._channel.copied or not self._heard():
            to_stderr(level, line_of(message, shown))
            return
        line = {"type": "log", "level": level, "message": str(message), "fields": shown}
        with contextlib.suppress(OSError):  # a log line is never why a handler fails
            self._channel.send(line)


def _shown(value: object) -> object:
    try:
        json_text(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
    return value
