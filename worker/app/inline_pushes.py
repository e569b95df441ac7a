"""``inline``: what is pushed inside the block runs here and now, for tests and scripts.

1. A push to a handler runs it before ``push`` returns, in the caller's own process; what it pushes
   in turn runs as well, and follow-up items once their handler has succeeded.
2. The handle that a push returns has its end already: a result, or the error of the first attempt.
   Nothing is tried again, waits for its time, or holds a unique key.
3. A queue's name is enough where its handler is known: given to ``inline``, or pushed to before.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from worker.app.inline import run_inline
from worker.app.inline_groups import InlineGroups, names_of
from worker.app.options import Handler
from worker.app.payload_types import kept_in_field
from worker.app.signature import hints_of
from worker.errors import HandlerError
from worker.item.cancelled import Cancelling
from worker.item.context import current_priority, in_namespace
from worker.item.metadata import taken_out
from worker.item.new_item import Push, Sent
from worker.item.outcome import Outcome, failure, invalid_payload, with_facts
from worker.item.result import success
from worker.item.signals import SignalRefused
from worker.openiap.client import Client
from worker.openiap.errors import ItemNotFound
from worker.openiap.workitem import FAILED, SUCCESSFUL, JsonObject
from worker.producer.producer import NoProducer, Producer, current_producer


class InlineSender:
    """In the place of a connection: runs what is pushed; see ``worker.item.new_item.Sender``.

    Args:
        handlers: known by their queues.
        client, resources: as for ``handler.run``.
    """

    def __init__(
        self,
        handlers: Sequence[Handler[..., Any]],
        client: Client | None,
        resources: Mapping[Any, Any] | None,
    ) -> None:
        self._handlers = {one.options.queue: one for one in handlers}
        self._client = client
        self._resources = resources
        self._ended: dict[str, JsonObject] = {}
        self._begun = 0
        self.groups: Final = InlineGroups(self._known, self.look, self.know)
        """Runs the members of groups."""

    def know(self, handler: Handler[..., Any]) -> None:
        """Learn of a handler that is pushed to."""
        self._handlers.setdefault(handler.options.queue, handler)

    async def send(self, pushes: Sequence[Push]) -> list[Sent]:
        """Run all, one after another.

        Raises:
            NoProducer: a queue whose handler is not known; nothing has run.
            HandlerError: a parameter that nothing fits.
        """
        for push in pushes:
            if push.queue not in self._handlers:
                raise NoProducer(
                    f"inline: the handler of queue {push.queue} is not known; write"
                    " inline(HANDLER)."
                )
        return [await self._run(push, self._handlers[push.queue]) for push in pushes]

    async def _known(self, push: Push) -> Sent:
        (sent,) = await self.send([push])
        return sent

    async def _run(self, push: Push, handler: Handler[..., Any]) -> Sent:
        payload, metadata = taken_out(push.payload)
        began = time.monotonic()
        self._begun += 1
        id = f"inline-{self._begun}"
        around = current_priority.set(None)  # of who pushes, not of whom it is pushed to
        with in_namespace(metadata.namespace):
            try:
                result = await run_inline(
                    handler,
                    payload,
                    files={Path(path).name: path for path in push.files},
                    client=self._client,
                    resources=self._resources,
                    push=push,
                    item_id=id,
                )
            except HandlerError:  # no worker would start with it; an item has no part in that
                raise
            except ValidationError as error:
                outcome = invalid_payload(error, handler=handler.name)
            except Exception as error:  # whatever a handler raises is its item's end
                outcome = _failed(handler, error, time.monotonic() - began)
            else:
                outcome = _successful(handler, payload, result)
            finally:
                current_priority.reset(around)
        self._ended[id] = {
            "_id": id,
            "wiq": push.queue,
            "state": SUCCESSFUL if outcome.kind == "successful" else FAILED,
            "payload": payload if outcome.payload is None else outcome.payload,
            "errormessage": outcome.message,
            "errorsource": outcome.source,
            "errortype": outcome.errortype,
            "got": names_of(outcome.got),
        }
        return Sent(id)

    async def ended(self, item_id: str, queue: str, timeout: float | None) -> JsonObject:
        """Return what became of a push."""
        return await self.look(item_id)

    async def look(self, item_id: str) -> JsonObject:
        """Return what became of a push.

        Raises:
            ItemNotFound: it was pushed elsewhere.
        """
        if item_id not in self._ended:
            raise ItemNotFound(f"inline: {item_id} was not pushed in this block", operation="look")
        return self._ended[item_id]

    async def cancel(self, item_id: str, reason: str) -> Cancelling:
        """Nothing is left to cancel."""
        await self.look(item_id)
        return "ended"

    async def signal(self, item_id: str, name: str, text: str, key: str) -> str:
        """Nothing is left to be told.

        Raises:
            ItemNotFound: it was pushed elsewhere.
            SignalRefused: it has ended.
        """
        state = (await self.look(item_id))["state"]
        raise SignalRefused(f"Item {item_id} is {state}: nobody would hear signal {name!r}")


@contextmanager
def inline(
    *handlers: Handler[..., Any],
    client: Client | None = None,
    resources: Mapping[Any, Any] | None = None,
) -> Iterator[Producer]:
    """Run what is pushed inside here and now::

        with inline():
            pushed = await book.push(Invoice(number="4711"))
            assert (await pushed.result()).voucher == "V-4711"

    Args:
        handlers: those that are pushed to by their queues' names alone.
        client: for ``Client`` and ``State`` parameters.
        resources: by type, in the place of what lifespans provide.

    Yields:
        A producer that does so, for ``via=`` and for pushes by name.
    """
    producer = Producer(InlineSender(handlers, client, resources), client=client)
    token = current_producer.set(producer)
    try:
        yield producer
    finally:
        current_producer.reset(token)


def _successful(handler: Handler[..., Any], payload: JsonObject, result: Any) -> Outcome:
    if not handler.options.store:
        return success(payload, None, handler=handler.name)
    wrap = kept_in_field(hints_of(handler.function).get("return"))
    return success(payload, result, handler=handler.name, wrap=wrap)


def _failed(handler: Handler[..., Any], error: Exception, took: float) -> Outcome:
    outcome = failure(
        error,
        attempt=1,
        policy=handler.options.retry,
        now=datetime.now(UTC),
        chance=random.Random(0),  # noqa: S311 (jitter, no secret)
    )
    if outcome.kind != "successful":
        outcome = with_facts(outcome, error, worker="", attempt=1, seconds=took)
    return replace(outcome, retry_at=None)
