"""Replay: an item that exists is worked here, and nothing of it is sent unless that is wanted.

1. The item is read, never popped: its state, owner and attempts stay as they are.
2. The handler runs through the engine's own runner; its files are downloaded when it asks for them,
   its own writes are held back (``readonly_client.py``).
3. Sending is a step of its own, refused where the item has changed since it was read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Final, Literal

from worker.app.application import Application
from worker.app.options import Handler
from worker.engine.delivery.attachments import transfer_time
from worker.engine.delivery.follow_ups import FollowUps, shown
from worker.engine.fleet.takeover import workitem_of
from worker.errors import WorkerError
from worker.item.metadata import KEY, STEPS, joined, taken_out
from worker.item.outcome import update_of
from worker.item.signals import KeptSignal, kept_signals
from worker.item.steps import FIELD, KeptStep, StepError, Steps, is_apart, together
from worker.openiap.client import Client
from worker.openiap.errors import ItemNotFound
from worker.openiap.fields import number, object_of
from worker.openiap.workitem import (
    FAILED,
    NEW,
    PROCESSING,
    JsonObject,
    Workitem,
    WorkitemFile,
)
from worker.producer.sender import ClientSender
from worker.producer.unique_push import UniquePushes
from worker.state.state import State
from worker.telemetry.log import Log
from worker.testing.doubles import ClientPool
from worker.testing.dry_run import DryRunSetup, LogLine, Rehearsed, dry_run
from worker.testing.readonly_client import HeldBack, read_only_client

ITEMS: Final = "workitems"
QUEUES: Final = "mq"
FOLLOW_UP_PATIENCE: Final = 15.0
"""Seconds for which a refused follow-up item is tried again: somebody waits for the command."""


class ReplayRefused(WorkerError):
    """The outcome is not sent; the text says why."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An item as it was read.

    Attributes:
        document: all of it.
        maxretries: its queue's; None if the queue cannot be read.
    """

    document: JsonObject
    maxretries: int | None

    @property
    def id(self) -> str:
        """The item's."""
        return str(self.document["_id"])

    @property
    def queue(self) -> str:
        """Its work item queue."""
        return str(self.document.get("wiq", ""))

    @property
    def state(self) -> str:
        """As OpenIAP names it."""
        return str(self.document.get("state", ""))

    @property
    def payload(self) -> JsonObject:
        """Its payload; what is no object is one under ``value``, as OpenIAP has it."""
        found = self.document.get("payload")
        if isinstance(found, dict):
            kept = object_of(found.get(KEY))
            if is_apart(steps := object_of(kept.get(STEPS))):
                kept[STEPS] = together(self.id, steps, self.document.get(FIELD))
                return {**found, KEY: kept}
            return found
        return {} if found is None else {"value": found}


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of it.

    Attributes:
        state: what the item's would be.
        held_back: what the handler wanted to write, in order; () where it was sent.
        from_step: from which step on all ran again; "" for none.
    """

    stored: Stored
    handler: str
    attempt: int
    run: Rehearsed
    state: str
    held_back: tuple[HeldBack, ...]
    from_step: str = ""

    @property
    def stored_steps(self) -> list[KeptStep]:
        """The steps that were done before, in order."""
        _, metadata = taken_out(self.stored.payload)
        return Steps(self.stored.id, metadata.steps).steps()

    @property
    def skipped_steps(self) -> set[str]:
        """The names of those of them that the handler was given, instead of running them."""
        names = [step.name for step in self.stored_steps]
        return set(names[: names.index(self.from_step)] if self.from_step else names)

    @property
    def stored_signals(self) -> list[KeptSignal]:
        """The signals that it had taken before, or waited for in vain, in order."""
        _, metadata = taken_out(self.stored.payload)
        return [one for one in kept_signals(Steps(self.stored.id, metadata.steps)) if not one.waits]


async def read(client: Client, id: str) -> Stored:
    """Read an item.

    Raises:
        ItemNotFound: there is none, or this user has no rights on it.
    """
    found = await client.query(ITEMS, {"_id": id}, top=1)
    if not found:
        raise ItemNotFound("not found", operation="replay", item_id=id)
    document = found[0]
    queues = await client.query(
        QUEUES, {"_type": "workitemqueue", "name": document.get("wiq")}, {"maxretries": 1}, top=1
    )
    maxretries = number(queues[0].get("maxretries")) if queues else 0
    return Stored(document, maxretries or None)


async def replay(
    stored: Stored,
    handler: Handler[..., Any],
    client: Client,
    folder: Path,
    *,
    application: Application,
    attempt: int | None = None,
    from_step: str = "",
    writes: bool = False,
    namespace: str = "",
    on_log: Callable[[LogLine], None] = lambda line: None,
) -> Replayed:
    """Run a handler on an item.

    Args:
        stored: as it was read.
        handler: that of its queue.
        client: for the item's files and the handler's own calls.
        folder: an empty one, for files.
        application: whose lifespans and middleware stand around the handler.
        attempt: 1 for the first; the one after those that the item had, or its last, by default.
        from_step: a step to run again, with all that was stored after it; "" for none.
        writes: let the handler's own writes through.
        namespace: of shared state and unique keys; the workers' setting.
        on_log: told of each of its lines at once.

    Raises:
        HandlerError: the handler cannot be run.
        ReplayRefused: there is no such step.
    """
    given, held_back = (client, []) if writes else read_only_client(client)
    workitem = _popped(stored, attempt)
    if from_step:
        workitem.payload = _before(stored, from_step)
    setup = DryRunSetup(
        workitem,
        given,
        folder,
        lifespans=application.lifespans,
        middleware=application.middleware,
        sender=ClientSender(client, namespace) if writes else None,
        resources={State: State(given, namespace)},
        look_up=True,
        maxretries=stored.maxretries,
        on_log=on_log,
    )
    run = await dry_run(handler, setup)
    return Replayed(
        stored,
        handler.name,
        workitem.retries + 1,
        run,
        state_after(run, workitem.retries, stored.maxretries),
        tuple(held_back),
        from_step,
    )


async def send(client: Client, replayed: Replayed, *, namespace: str = "") -> Workitem:
    """Write the outcome to the item, with its files; return the item as stored.

    Args:
        namespace: of unique keys; the workers' setting.

    Raises:
        ReplayRefused: a worker has the item, it is another than it was when it was read, or a
            follow-up item could not be pushed.
        OpenIAPError: it could not be written.
    """
    stored = replayed.stored
    refuse_to_send(stored)
    now = await read(client, stored.id)
    for name in ("state", "retries", "_modified"):
        if now.document.get(name) != stored.document.get(name):
            raise ReplayRefused(
                f"Item {stored.id} has changed since it was read ({name} was"
                f" {stored.document.get(name)}, is {now.document.get(name)}); nothing was sent."
                " Replay it again."
            )
    workitem, run = _popped(stored, None), replayed.run
    files = [
        WorkitemFile(name, await _uploaded(client, workitem, name, run.attachments.path(name)))
        for name in run.attachments
    ]
    update, asleep = update_of(workitem, run.outcome), run.sleeps_until is not None
    if asleep:
        # Who waits for a signal is put there by a worker: it says so to those that wake.
        due = datetime.now(UTC) if run.waits_for else run.sleeps_until
        update = replace(update, nextrun=due, errormessage="", errorsource="", errortype="")
    written = await client.update_workitem(update, files, asleep)
    if run.outcome.pushes:
        unique = UniquePushes(client, namespace)
        followups = FollowUps(
            ClientPool(client), unique=unique, log=Log("warn"), patience=FOLLOW_UP_PATIENCE
        )
        refused = await followups.deliver(run.outcome.pushes)
        if refused:
            raise ReplayRefused(f"The item is written; {shown(refused)}.")
    return written


def refuse_to_send(stored: Stored) -> None:
    """Look whether an outcome may be written to an item.

    Raises:
        ReplayRefused: a worker has it.
    """
    if stored.state == PROCESSING:
        who = stored.document.get("username") or "somebody"
        raise ReplayRefused(
            f"Item {stored.id} is being processed by {who}, so nothing can be sent for it."
            f" If nobody works it any more: openiap-worker items retry {stored.id} --force."
        )


def for_debugger(handler: Handler[..., Any]) -> Handler[..., Any]:
    """Return a handler without limits, run in this process: a debugger stops it for as long as it
    likes."""
    here: Literal["async", "thread"] = (
        "async" if iscoroutinefunction(handler.function) else "thread"
    )
    options = replace(
        handler.options, execution=here, timeout=None, hard_timeout=None, memory=None, cpu=None
    )
    return Handler(handler.function, options)


def state_after(run: Rehearsed, retries: int, maxretries: int | None) -> str:
    """Return the state that the item would have (server.md, Update)."""
    kind = run.outcome.kind
    if kind == "successful":
        return "successful"
    if kind in ("business", "failed"):
        return FAILED
    if kind == "application" and maxretries is not None and retries + 1 >= maxretries:
        return FAILED
    return NEW


def _popped(stored: Stored, attempt: int | None) -> Workitem:
    document = stored.document
    workitem = workitem_of(document)
    workitem.payload = dict(stored.payload)
    workitem.files = [
        WorkitemFile(
            str(file.get("filename") or file.get("name") or ""), str(file.get("_id") or "")
        )
        for file in _files(document)
    ]
    if attempt is not None:
        workitem.retries = attempt - 1
    return workitem


def _before(stored: Stored, step: str) -> JsonObject:
    """Return an item's payload as it was before a step.

    Raises:
        ReplayRefused: it has no such step.
    """
    payload, metadata = taken_out(stored.payload)
    steps = Steps(stored.id, metadata.steps)
    try:
        steps.forget_from(step)
    except StepError as error:
        raise ReplayRefused(str(error)) from None
    metadata.steps = steps.content
    return joined(payload, metadata)


def _files(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = document.get("files")
    return [f for f in found if isinstance(f, Mapping)] if isinstance(found, list) else []


async def _uploaded(client: Client, workitem: Workitem, name: str, path: Path) -> str:
    # The metadata lets deleting and purging find the file (server.md, Files).
    metadata = {"wi": workitem.id, "wiq": workitem.wiq, "wiqid": workitem.wiqid}
    return await client.upload(path, name, metadata=metadata, timeout=transfer_time(path))
