"""``worker_test``: a handler on a payload, through the worker's real path and without a server."""

import itertools
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from worker.app.lifespan import Lifespan
from worker.app.listener import Listener
from worker.app.middleware import Middleware
from worker.app.options import Handler
from worker.durations import Duration, seconds
from worker.item.headers import headers_of
from worker.item.json_form import NotJson, json_form
from worker.item.metadata import Metadata, joined
from worker.item.origin import Origin, mark_for
from worker.item.signals import checked_name, document_of, text_of_value
from worker.item.steps import Steps, text_of_result
from worker.kinds import kind_of
from worker.openiap.client import Client
from worker.openiap.filenames import safe_name
from worker.openiap.workitem import JsonObject, Workitem, WorkitemFile
from worker.state.state import State
from worker.testing.dry_run import DryRunSetup, Rehearsed, dry_run
from worker.testing.heard import Heard, event_for, heard
from worker.testing.memory_documents import memory_client
from worker.testing.offline_client import offline_client

DEFAULT_MAXRETRIES: Final = 3
"""Attempts that a queue of OpenIAP allows unless it says otherwise (server.md, Update)."""

Files = Mapping[str, str | Path | bytes]


class WorkerTest:
    """Runs handlers on payloads; call it.

    Attributes:
        resources: by type, given to every handler of this test; ``resources=`` of a call wins.
        state: what a ``State`` parameter gets where no client is given: one in memory, the same
            for every call of this test. Look into it, or fill it beforehand.
    """

    def __init__(self, folder: Path) -> None:
        """Make one.

        Args:
            folder: an empty one; files lie below it and stay.
        """
        self.resources: dict[Any, Any] = {}
        self.state: Final = State(memory_client())
        self._folder = folder
        self._numbers = itertools.count(1)

    async def __call__(
        self,
        handler: Handler[..., Any],
        payload: object = None,
        *,
        files: Files | None = None,
        attempt: int = 1,
        maxretries: int = DEFAULT_MAXRETRIES,
        checkpoint: object = None,
        steps: Mapping[str, object] | None = None,
        slept: bool = False,
        signals: Mapping[str, object] | None = None,
        origin: Origin | None = None,
        resources: Mapping[Any, Any] | None = None,
        around: Sequence[Lifespan | Middleware] = (),
        client: Client | None = None,
        stop_after: Duration | None = None,
        id: str = "",
        name: str = "",
        priority: int = 2,
        headers: Mapping[str, str] | None = None,
    ) -> Rehearsed:
        """Run a handler once and return what it did.

        Args:
            handler: a function marked with ``@handler``.
            payload: the item's: a dict, model or dataclass; it is carried as JSON, as OpenIAP
                does. None is ``{}``.
            files: the item's: name to path or content.
            attempt: 1 for the first.
            maxretries: how many attempts the queue allows, for ``item.attempts_left``.
            checkpoint: what an earlier attempt gave to ``item.checkpoint``.
            steps: the results of steps that were done before, by name; those are not run.
            slept: whether all its sleeps are over: each returns at once; a signal that is not given
                did not come in time.
            signals: the values of those that the item was told, by name; a list has several.
            origin: the item that this one is a copy of; a ``DeadLetter`` for ``item.dead_letter``.
            resources: by type, in the place of what lifespans provide; by factory, in the place of
                what ``Resource(factory)`` would make.
            around: lifespans and middleware to run, as the worker does.
            client: what a ``Client`` parameter gets; without one every call to it is refused.
            stop_after: tell the worker to stop so long after the start, as a signal does.
            id, name, priority, headers: the item's.

        Raises:
            HandlerError: the handler's signature cannot be filled, or it cannot be run.
            TypeError: no handler, or a payload that is no JSON object.
            ValueError: an attempt below 1, or headers that are not allowed.
            StepError: a step's name or result that cannot be stored.
            FileNotFoundError: a file that is not there.
            FileTransferError: a file name that is not safe.
        """
        if not isinstance(handler, Handler):
            raise TypeError(
                f"worker_test: {getattr(handler, '__qualname__', repr(handler))} is no handler;"
                " mark it with @handler(QUEUE)"
            )
        if attempt < 1:
            raise ValueError(f"worker_test: attempt = {attempt}; allowed: 1 and more")
        number = next(self._numbers)
        folder = self._folder / str(number)
        folder.mkdir(parents=True)
        id = id or f"test-{number}"
        metadata = _metadata(checkpoint, origin, headers)
        metadata.steps = _stored(id, steps) if steps else None
        workitem = Workitem(
            id=id,
            name=name or "New work item",
            payload=joined(as_json_object(payload), metadata),
            priority=priority,
            state="processing",
            wiq=handler.options.queue,
            retries=attempt - 1,
            files=placed(files or {}, folder / "files", who="worker_test"),
        )
        setup = DryRunSetup(
            workitem,
            client or offline_client(),
            folder,
            resources={
                **({State: self.state} if client is None else {}),
                **self.resources,
                **(resources or {}),
            },
            lifespans=[one for one in around if isinstance(one, Lifespan)],
            middleware=[one for one in around if isinstance(one, Middleware)],
            maxretries=maxretries,
            stop_after=None if stop_after is None else seconds(stop_after),
            slept=slept,
            run_groups=True,
            signals=_signals(id, handler.options.queue, signals or {}),
        )
        return await dry_run(handler, setup)

    async def message(
        self,
        listener: Listener,
        data: object = None,
        *,
        topic: str = "",
        metadata: Mapping[str, Any] | None = None,
        operation: str = "insert",
        resources: Mapping[Any, Any] | None = None,
        client: Client | None = None,
    ) -> Heard:
        """Call what ``@on_message`` or ``@on_change`` has marked, as the worker does.

        Args:
            listener: the function.
            data: the message's, or the document that has changed; carried as JSON.
            topic, metadata: of a message on a topic.
            operation: of a change.
            resources, client: as for a handler.

        Raises:
            HandlerError: a parameter that cannot be filled.
            TypeError: no listener, or data that has no JSON form.
            ValueError: a topic that fits none of its patterns.
        """
        if not isinstance(listener, Listener):
            raise TypeError(
                f"worker_test.message: {getattr(listener, '__qualname__', repr(listener))} is no"
                " listener; mark it with @on_message(…) or @on_change(…)"
            )
        given: dict[Any, Any] = {**self.resources, **(resources or {})}
        if client is None:
            given.setdefault(State, self.state)
        else:
            given.setdefault(State, State(client))
        event = event_for(listener, data, topic, metadata or {}, operation)
        return await heard(listener, event, given, client or offline_client())


def _metadata(
    checkpoint: object, origin: Origin | None, headers: Mapping[str, str] | None
) -> Metadata:
    found, trace = headers_of(headers or {})
    return Metadata(
        checkpoint=None if checkpoint is None else json_form(checkpoint),
        origin=None if origin is None else mark_for(origin),
        headers=found,
        trace=trace,
    )


def _stored(id: str, steps: Mapping[str, object]) -> JsonObject:
    found = Steps(id)
    for name, value in steps.items():
        found.keep(name, text_of_result(name, None, value), datetime.now(UTC))
    return found.content


def _signals(id: str, queue: str, signals: Mapping[str, object]) -> list[JsonObject]:
    found = []
    for name, given in signals.items():
        for number, value in enumerate(given if isinstance(given, list) else [given], 1):
            text = text_of_value(checked_name(name), value)
            signal = f"test-signal-{name}-{number}"
            found.append(document_of(signal, id, name, text, queue=queue, acl=None))
    return found


def as_json_object(payload: object) -> JsonObject:
    """Return a payload as it comes out of OpenIAP: carried as JSON.

    Raises:
        TypeError: it has no JSON form, or is no object.
    """
    try:
        found = json_form({} if payload is None else payload)
    except NotJson as error:
        raise TypeError(f"the payload has no JSON form: {error}") from None
    if not isinstance(found, dict):
        raise TypeError(
            f"the payload is {kind_of(payload)}; allowed: a dict, a pydantic model, a"
            " dataclass, or None"
        )
    return found


def placed(files: Files, folder: Path, *, who: str) -> list[WorkitemFile]:
    """Copy files to where a handler may do with them what it likes.

    Args:
        files: name to path or content.
        folder: made if there are any.
        who: for the error's text.

    Raises:
        FileNotFoundError: a file that is not there.
        FileTransferError: a file name that is not safe.
    """
    placed: list[WorkitemFile] = []
    for number, (name, content) in enumerate(files.items(), 1):
        path = folder / safe_name(name)
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif Path(content).is_file():
            shutil.copy(content, path)
        else:
            raise FileNotFoundError(f"{who}: file {name}: there is no file {content}")
        placed.append(WorkitemFile(name, f"test-file-{number}", path))
    return placed
