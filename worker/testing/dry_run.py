"""A dry run: one handler on one item through the engine's own runner, and nothing is sent.

1. Signature, validation, executor, limits and the decision about the outcome are the real ones.
2. Where the runner would write back, what it would have written is kept and returned.
3. Pushes, progress, checkpoints, attachments, log lines and what the handler returned or raised are
   kept beside it.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from worker.app.lifespan import Lifespan, Lifespans
from worker.app.middleware import Middleware
from worker.app.options import Handler
from worker.app.registry import Registered
from worker.app.signature import signature_of
from worker.engine.breakers.breakers import Breakers
from worker.engine.completer import Completer
from worker.engine.execution import make_executor
from worker.engine.in_flight import Running
from worker.engine.outbox.spool import Spool
from worker.engine.runner import Runner
from worker.engine.worker_services import HandlerInputs, WorkerServices
from worker.item.headers import NONE
from worker.item.metadata import joined, taken_out
from worker.item.new_item import FollowUp, Push, Sender
from worker.item.outcome import Outcome
from worker.item.signals import kept_signals
from worker.item.steps import Steps
from worker.openiap.client import Client
from worker.openiap.values import json_text
from worker.openiap.workitem import JsonObject, Workitem
from worker.telemetry.counts import Counts
from worker.telemetry.log import Log
from worker.telemetry.log_forms import Level
from worker.testing.doubles import (
    WORKER,
    ClientPool,
    Progress,
    RecordingCheckpoints,
    RecordingExecutor,
    RecordingSender,
    RecordingWriteBack,
    with_sizes,
)
from worker.testing.recorded_groups import GroupSeen

SEED: Final = 0
"""Of the chance that spreads retry times: a dry run gives the same twice."""
STOP_TIMEOUT: Final = 1.0


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that the handler (or the worker around it) logged."""

    level: Level
    text: str

    def __str__(self) -> str:
        return f"{self.level:<7} {self.text}"


@dataclass(frozen=True, slots=True)
class PushSeen:
    """An item that the handler pushed, or that would be pushed once its own item has succeeded.

    Attributes:
        payload: without what the worker itself keeps in payloads.
        namespace: whose work it is, or "".
        nextrun: not before; None for at once.
        follow_up: asked for by ``item.push``: only delivered if the item succeeds.
        unique: its key, or "".
        headers: what goes along.
    """

    queue: str
    payload: JsonObject
    name: str = ""
    priority: int = 2
    namespace: str = ""
    nextrun: datetime | None = None
    follow_up: bool = False
    unique: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: NONE)


class Attachments(Mapping[str, bytes]):
    """The attached files: name to content, read when asked for."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = dict(paths)

    def __getitem__(self, name: str) -> bytes:
        return self.path(name).read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        sizes = (f"{name}: {path.stat().st_size} bytes" for name, path in self._paths.items())
        return f"Attachments({', '.join(sizes)})"

    def path(self, name: str) -> Path:
        """Return where an attached file is.

        Raises:
            KeyError: nothing of that name was attached; the text names what was.
        """
        try:
            return self._paths[name]
        except KeyError:
            names = ", ".join(sorted(self._paths)) or "none"
            raise KeyError(f"{name!r} was not attached; attached: {names}") from None


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a handler did, and what the worker would have written back for it.

    Attributes:
        outcome: what would be written back: ``kind`` (``successful``, ``business``,
            ``application``, ``failed`` or ``released``), ``code``, ``message``, ``source``,
            ``errortype``, ``payload``, ``retry_at``; see ``worker.testing.Outcome``.
        pushes: the items that would be there afterwards; follow-ups only where it succeeded.
        attachments: what would have been stored with the item; nothing unless it succeeded.
        progress, checkpoints: all that were given, in order; a worker stores at most one a second.
        groups: those that it pushed; in ``worker_test`` with what came of their members.
        steps: the results that are stored afterwards, by name, as JSON values; those that were
            there before, too.
        signals: the same of signals, by name and how many-th of it: ``"approval #1"``; None for one
            that did not come in time.
        log: the lines, in order; each with ``level`` (``trace``, ``debug``, ``verbose``,
            ``info``, ``warn`` or ``error``) and ``text``.
        called: whether the handler was called at all; a payload that does not validate never
            reaches it.
        returned: what it returned, or None.
        error: what it raised, with its traceback, or None.
        seconds: how long the attempt took.
    """

    outcome: Outcome
    pushes: tuple[PushSeen, ...]
    attachments: Attachments
    progress: tuple[Progress, ...]
    checkpoints: tuple[Any, ...]
    groups: tuple[GroupSeen, ...]
    steps: Mapping[str, Any]
    signals: Mapping[str, Any]
    log: tuple[LogLine, ...]
    called: bool
    returned: Any
    error: BaseException | None
    seconds: float

    @property
    def payload(self) -> JsonObject | None:
        """The payload that would be stored, without what the worker itself keeps in it (see
        ``worker.item.metadata``); None leaves the stored one as it is."""
        return None if self.outcome.payload is None else taken_out(self.outcome.payload)[0]

    @property
    def sleeps_until(self) -> datetime | None:
        """Until when the handler lets the item sleep, UTC; None where it does not."""
        waits = self.outcome.waits
        return waits.until if waits is not None and waits.asleep else None

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The names of the signals that the item waits for afterwards."""
        return () if self.outcome.waits is None else self.outcome.waits.signals

    @property
    def retry_after(self) -> float | None:
        """Seconds from now to the chosen time of the next attempt; None where none was chosen."""
        at = self.outcome.retry_at
        return None if at is None else (at - datetime.now(UTC)).total_seconds()


@dataclass(slots=True)
class DryRunSetup:
    """What a dry run is given besides the handler.

    Attributes:
        workitem: as a pop would give it; its files have local paths, or ``client`` fetches them.
        client: what a ``Client`` parameter gets, and where files without a path come from.
        folder: an empty one; inputs and attachments lie below it and stay.
        resources: by type, in the place of what lifespans provide; by factory, in the place of
            what ``Resource(factory)`` would make.
        lifespans: started before and ended after, but for those whose type is in ``resources``.
        middleware: the worker's; the handler's own are entered anyway.
        sender: carries what the handler pushes at once; without one it is noted and not sent.
        look_up: whether the queues of follow-ups are looked up with the client.
        maxretries: the queue's, for ``item.attempts_left``.
        stop_after: seconds until the worker is told to stop, as by a signal; None for never.
        run_groups: whether the members of groups are run here, where nothing is sent.
        slept: whether all sleeps count as over, and all signals that did not come as too late.
        signals: documents of those that the item was told.
        on_log: told of each line at once.
    """

    workitem: Workitem
    client: Client
    folder: Path
    resources: Mapping[Any, Any] = field(default_factory=dict)
    lifespans: Sequence[Lifespan] = ()
    middleware: Sequence[Middleware] = ()
    sender: Sender | None = None
    look_up: bool = False
    maxretries: int | None = None
    stop_after: float | None = None
    slept: bool = False
    run_groups: bool = False
    signals: Sequence[JsonObject] = ()
    on_log: Callable[[LogLine], None] = lambda line: None


async def dry_run(handler: Handler[..., Any], setup: DryRunSetup) -> Rehearsed:
    """Run a handler once.

    Raises:
        HandlerError: the handler's signature cannot be filled, it cannot be run as it asks, or a
            lifespan failed to start.
    """
    lines: list[LogLine] = []

    def said(level: str, text: str) -> None:
        line = LogLine(cast("Level", level), text)
        lines.append(line)
        setup.on_log(line)

    log = Log("trace", write=said)
    lifespans = Lifespans(
        [one for one in setup.lifespans if one.provides not in setup.resources], log=log
    )
    provided = lifespans.types | frozenset(setup.resources)
    registered = Registered(
        handler, signature_of(handler.function, name=handler.name, resources=provided)
    )
    pool = ClientPool(with_sizes(setup.client, setup.workitem))
    sender = RecordingSender(
        setup.sender,
        run_groups=setup.run_groups,
        client=setup.client,
        resources=setup.resources,
    )
    _, before = taken_out(setup.workitem.payload or {})
    desk = RecordingCheckpoints(
        pool,
        sender,
        log=log,
        look_up=setup.look_up,
        before=before,
        awake=setup.slept,
        signals=setup.signals,
    )
    async with AsyncExitStack() as stack:
        executor = make_executor(registered, slots=1)
        recorded = RecordingExecutor(executor)
        recorder = RecordingWriteBack(setup.folder / "attachments")
        counts = Counts()
        counts.add_queue(setup.workitem.wiq, registered.name)
        stack.push_async_callback(lifespans.stop)
        resources = {**await lifespans.start(setup.client), **setup.resources}
        runner = Runner(
            registered,
            recorded,
            inputs=HandlerInputs(
                setup.client,
                resources,
                lifespans=provided,
                middleware=tuple(setup.middleware),
                checkpoints=desk,
            ),
            services=WorkerServices(
                WORKER,
                pool,
                Completer(
                    recorder,
                    outbox=None,
                    spool=Spool(setup.folder / "spool"),
                    counts=counts,
                    log=log,
                ),
                counts,
                log,
                random.Random(SEED),  # noqa: S311 (jitter, no secret)
                breakers=Breakers(
                    {setup.workitem.wiq: handler.options.breakers},
                    worker_id=WORKER,
                    now=lambda: datetime.now(UTC),
                    log=log,
                ),
            ),
        )
        runner.maxretries = setup.maxretries
        stack.push_async_callback(executor.stop, STOP_TIMEOUT)
        await executor.start()
        began = time.monotonic()
        await _worked(runner, setup)
    assert recorder.outcome is not None
    item, outcome = recorded.item, recorder.outcome
    if item is not None and outcome.waits is not None and outcome.waits.asleep:
        outcome = replace(outcome, payload=joined(item.payload, item.metadata))
    steps = Steps(setup.workitem.id, before.steps) if item is None else item.steps
    follow_ups = tuple(seen(push, follow_up=True) for push in recorder.outcome.pushes)
    return Rehearsed(
        outcome=_as_stored(outcome),
        pushes=(*(seen(push) for push in sender.pushes), *follow_ups),
        attachments=Attachments(recorder.attachments),
        progress=tuple(desk.progress),
        checkpoints=tuple(desk.checkpoints),
        groups=tuple(sender.recorded.seen),
        steps={step.name: step.value for step in steps.steps()},
        signals={one.name: one.value for one in kept_signals(steps) if not one.waits},
        log=tuple(lines),
        called=recorded.item is not None,
        returned=recorded.returned,
        error=recorded.error,
        seconds=time.monotonic() - began,
    )


def _as_stored(outcome: Outcome) -> Outcome:
    """Return an outcome with its payload as the server would have it: plain JSON."""
    if outcome.payload is None:
        return outcome
    return replace(outcome, payload=json.loads(json_text(outcome.payload)))


async def _worked(runner: Runner, setup: DryRunSetup) -> None:
    """Work the item as a consumer does, in a task of its own that can be interrupted."""
    running = Running(setup.workitem, time.monotonic(), datetime.now(UTC), 0)
    running.task = asyncio.create_task(runner.work(running))
    timer = None
    if setup.stop_after is not None:
        timer = asyncio.get_running_loop().call_later(setup.stop_after, running.interrupt)
    try:
        await running.task
    finally:
        if timer is not None:
            timer.cancel()


def seen(push: Push | FollowUp, *, follow_up: bool = False) -> PushSeen:
    """Return a push as tests look at it."""
    payload, metadata = taken_out(push.payload)
    return PushSeen(
        push.queue,
        payload,
        push.name,
        push.priority,
        metadata.namespace,
        push.nextrun,
        follow_up,
        "" if push.unique is None else push.unique.key,
        metadata.headers,
    )
