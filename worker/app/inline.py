"""A handler run here and now: no queue, no item on a server, no write-back."""

import asyncio
import inspect
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from worker.app.middleware_chain import chain_of
from worker.app.options import Handler
from worker.app.signature import signature_of
from worker.errors import HandlerError
from worker.item.context import current_item
from worker.item.files import Attachment
from worker.item.in_memory_store import InMemoryStore
from worker.item.item import Item
from worker.item.metadata import taken_out
from worker.item.new_item import FollowUp, Push, Sender
from worker.openiap.client import Client
from worker.openiap.errors import FileTransferError
from worker.openiap.filenames import safe_name
from worker.openiap.workitem import JsonObject, Workitem, WorkitemFile
from worker.producer.producer import Producer, current_producer, producer_for, whole
from worker.state.state import State
from worker.telemetry.log import Log

INLINE_ID: Final = "here"


class _LocalFiles:
    """Files that are here already; attached ones are kept until the run is over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def fetch(self, file: WorkitemFile) -> Path:
        if file.path is None or not file.path.is_file():
            raise FileTransferError(f"{file.filename}: there is no file {file.path}")
        return file.path

    async def size(self, file: WorkitemFile) -> int:
        return (await self.fetch(file)).stat().st_size

    async def keep(self, source: Path | bytes, name: str) -> Attachment:
        kept = self._folder / safe_name(name, operation="attach")
        if isinstance(source, bytes):
            await asyncio.to_thread(kept.write_bytes, source)
        elif source.is_file():
            await asyncio.to_thread(shutil.copy, source, kept)
        else:
            raise FileTransferError(
                f"{source} cannot be attached as {name}: no such file", operation="attach"
            )
        return Attachment(name, kept)


class _InlineStore(InMemoryStore):
    """Progress and checkpoints stay on the item; follow-up items wait for its end."""

    @property
    def sender(self) -> Sender | None:
        """Who carries what is pushed at once: the producer whose block it is."""
        found = current_producer.get()
        return None if found is None else found.sender

    async def accept(self, item: Item, push: Push) -> FollowUp:
        producer_for(None)  # refused at once, and not when the work is done
        return await super().accept(item, push)


async def run_inline(
    handler: Handler[..., Any],
    payload: JsonObject,
    *,
    files: Mapping[str, str | Path] | None = None,
    resources: Mapping[Any, Any] | None = None,
    client: Client | None = None,
    via: Producer | None = None,
    push: Push | None = None,
    item_id: str = INLINE_ID,
) -> Any:
    """Run a handler once; see ``DeclaredHandler.run``.

    Args:
        push: what the item is of; its name, priority and metadata are the item's.
        item_id: the item's.

    Raises:
        HandlerError: a parameter that nothing fits.
        TypeError: files or resources that are no dict.
        Exception: whatever the handler raises.
    """
    for option, given in (("files", files), ("resources", resources)):
        if given is not None and not isinstance(given, Mapping):
            raise TypeError(f"run: {option} = {given!r}; allowed: a dict")
    provided = dict(resources or {})
    types = frozenset(provided)
    signature = signature_of(handler.function, name=handler.name, resources=types)
    asked = {p.source for p in signature.parameters}
    if client is None and "client" in asked:
        raise HandlerError(f"Handler {handler.name} asks for a Client: run(…, client=CLIENT).")
    if client is None and "state" in asked and State not in provided:
        raise HandlerError(f"Handler {handler.name} asks for a State: run(…, client=CLIENT).")
    chain = chain_of(handler, signature, lifespans=types)
    with tempfile.TemporaryDirectory(prefix="openiap-worker-", ignore_cleanup_errors=True) as temp:
        store = _InlineStore()
        item = _item(handler, payload, files or {}, Path(temp), store, push, item_id)
        token = current_item.set(item)
        carries = current_producer.set(via or current_producer.get())
        try:
            async with AsyncExitStack() as stack:
                if chain is not None:
                    provided = await chain.enter(stack, item, cast(Client, client), provided)
                arguments = signature.arguments(
                    signature.payload_for(payload), item, cast(Client, client), provided
                )
                result = await _called(handler, item, arguments)
        finally:
            current_producer.reset(carries)
            current_item.reset(token)
    if store.pushes:
        await producer_for(via).send(store.pushes, whole)
    return result


async def _called(handler: Handler[..., Any], item: Item, arguments: dict[str, Any]) -> Any:
    function = handler.function
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    loop = asyncio.get_running_loop()
    item.wait_through(lambda work: asyncio.run_coroutine_threadsafe(work, loop).result())
    context = copy_context()
    result = await loop.run_in_executor(None, lambda: context.run(function, **arguments))
    return await result if inspect.isawaitable(result) else result


def _item(
    handler: Handler[..., Any],
    payload: JsonObject,
    files: Mapping[str, str | Path],
    folder: Path,
    store: _InlineStore,
    push: Push | None,
    item_id: str,
) -> Item:
    given = [
        WorkitemFile(safe_name(name), f"{item_id}-{number}", Path(path))
        for number, (name, path) in enumerate(files.items(), 1)
    ]
    workitem = Workitem(id=item_id, payload=payload, wiq=handler.options.queue, files=given)
    metadata = None
    if push is not None:
        workitem.name, workitem.priority = push.name, push.priority
        metadata = taken_out(push.payload)[1]
    return Item(
        workitem,
        files=_LocalFiles(folder),
        log=Log("info").bind(item=item_id, queue=workitem.wiq),
        started=datetime.now(UTC),
        metadata=metadata,
        store=store,
    )
