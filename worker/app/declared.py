"""A handler as others call it: pushed to its queue, waited for, or run here and now.

The types of payload and result are those of the handler's own signature: the payload is its first
parameter (the second where the first is the ``Item``), the result is what it returns.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack, overload

from worker.app.inline import run_inline
from worker.app.inline_pushes import InlineSender
from worker.app.options import Handler
from worker.app.payload import check_files, item_name, payload_json, reader_of, unique_key
from worker.item.function_types import AsyncFieldFirst, AsyncPayloadFirst, FieldFirst, PayloadFirst
from worker.item.item import AsyncItemFirst, AsyncItemOnly, ItemFirst, ItemOnly
from worker.item.new_item import Push
from worker.item.push import (
    F,
    Fields,
    PushArguments,
    PushManyArguments,
    PushOptions,
    Target,
    listed,
)
from worker.openiap.client import Client
from worker.openiap.large import apart, is_large
from worker.openiap.workitem import JsonObject
from worker.producer.producer import Producer, current_producer, producer_for
from worker.producer.pushed import Pushed, pushed_before

M = TypeVar("M")
T = TypeVar("T")


class _Via(TypedDict, total=False):
    via: Producer | None


class PushVia(PushArguments, _Via):
    """What may be said of a push; ``via`` is who carries it: see ``worker.connect``."""


class PushManyVia(PushManyArguments, _Via):
    """The same for a push of many."""


class RunArguments(TypedDict, total=False):
    """What a run here and now may be given besides the payload.

    Attributes:
        files: the item's files: name to local path.
        resources: by type, in the place of what lifespans provide.
        client: for a ``Client`` parameter.
        via: who carries what the handler pushes.
    """

    files: Mapping[str, str | Path]
    resources: Mapping[Any, Any]
    client: Client | None
    via: Producer | None


class DeclaredHandler(Handler[..., Any], Generic[F]):
    """What ``@handler`` makes of a function; ``F`` is the function's own type."""

    if TYPE_CHECKING:

        @property
        def __call__(self) -> F: ...

    @overload
    async def push(
        self: Target[AsyncItemOnly[T]], payload: Fields, **options: Unpack[PushVia]
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self: Target[ItemOnly[T]], payload: Fields, **options: Unpack[PushVia]
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self: Target[AsyncItemFirst[M, T]], payload: M, **options: Unpack[PushVia]
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self: Target[ItemFirst[M, T]], payload: M, **options: Unpack[PushVia]
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self: Target[AsyncFieldFirst[T]], payload: Fields, **options: Unpack[PushVia]
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self: Target[FieldFirst[T]], payload: Fields, **options: Unpack[PushVia]
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self: Target[AsyncPayloadFirst[M, T]], payload: M, **options: Unpack[PushVia]
    ) -> Pushed[T]: ...

    @overload
    async def push(
        self: Target[PayloadFirst[M, T]], payload: M, **options: Unpack[PushVia]
    ) -> Pushed[T]: ...

    async def push(self, payload: Any, **options: Unpack[PushVia]) -> Pushed[Any]:
        """Push an item to this handler's queue and return a handle on it.

        Raises:
            ContractError: the payload, or a file that must come along, does not fit.
            NoProducer: nobody here can push.
            QueueNotFound: no such queue, or no rights.
            ValueError: a time or a unique key that is not allowed.
        """
        (pushed,) = await self._push([payload], options)
        return pushed

    @overload
    async def push_many(
        self: Target[AsyncItemOnly[T]], payloads: Sequence[Fields], **options: Unpack[PushManyVia]
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self: Target[ItemOnly[T]], payloads: Sequence[Fields], **options: Unpack[PushManyVia]
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self: Target[AsyncItemFirst[M, T]], payloads: Sequence[M], **options: Unpack[PushManyVia]
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self: Target[ItemFirst[M, T]], payloads: Sequence[M], **options: Unpack[PushManyVia]
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self: Target[AsyncFieldFirst[T]],
        payloads: Sequence[Fields],
        **options: Unpack[PushManyVia],
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self: Target[FieldFirst[T]], payloads: Sequence[Fields], **options: Unpack[PushManyVia]
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self: Target[AsyncPayloadFirst[M, T]], payloads: Sequence[M], **options: Unpack[PushManyVia]
    ) -> list[Pushed[T]]: ...

    @overload
    async def push_many(
        self: Target[PayloadFirst[M, T]], payloads: Sequence[M], **options: Unpack[PushManyVia]
    ) -> list[Pushed[T]]: ...

    async def push_many(
        self, payloads: Sequence[Any], **options: Unpack[PushManyVia]
    ) -> list[Pushed[Any]]:
        """Push many items; in few messages where the client can. Files and unique keys are for
        single items.

        Raises:
            ContractError: one payload does not fit; nothing was pushed.
        """
        return await self._push(payloads, options)

    @overload
    async def run(
        self: Target[AsyncItemOnly[T]], payload: Fields, **options: Unpack[RunArguments]
    ) -> T: ...

    @overload
    async def run(
        self: Target[ItemOnly[T]], payload: Fields, **options: Unpack[RunArguments]
    ) -> T: ...

    @overload
    async def run(
        self: Target[AsyncItemFirst[M, T]], payload: M, **options: Unpack[RunArguments]
    ) -> T: ...

    @overload
    async def run(
        self: Target[ItemFirst[M, T]], payload: M, **options: Unpack[RunArguments]
    ) -> T: ...

    @overload
    async def run(
        self: Target[AsyncFieldFirst[T]], payload: Fields, **options: Unpack[RunArguments]
    ) -> T: ...

    @overload
    async def run(
        self: Target[FieldFirst[T]], payload: Fields, **options: Unpack[RunArguments]
    ) -> T: ...

    @overload
    async def run(
        self: Target[AsyncPayloadFirst[M, T]], payload: M, **options: Unpack[RunArguments]
    ) -> T: ...

    @overload
    async def run(
        self: Target[PayloadFirst[M, T]], payload: M, **options: Unpack[RunArguments]
    ) -> T: ...

    async def run(self, payload: Any, **options: Unpack[RunArguments]) -> Any:
        """Run the handler here and now, without a queue and without an item on a server.

        ``def`` handlers and process handlers run in a thread of this process. Middleware of the
        handler and resources per item are entered; follow-up items are pushed at the end.

        Returns:
            What the handler returned.

        Raises:
            ContractError: the payload does not fit.
            HandlerError: a parameter that ``resources`` would have to fill.
            Exception: whatever the handler raises.
        """
        return await run_inline(self, payload_json(self, payload), **options)

    @overload
    def pushed(
        self: Target[Callable[..., Coroutine[Any, Any, T]]], id: str, *, via: Producer | None = None
    ) -> Pushed[T]: ...

    @overload
    def pushed(
        self: Target[Callable[..., T]], id: str, *, via: Producer | None = None
    ) -> Pushed[T]: ...

    def pushed(self, id: str, *, via: Producer | None = None) -> Pushed[Any]:
        """Return a handle on an item of this handler that was pushed before, by its id.

        Raises:
            NoProducer: nobody here can ask for it.
            TypeError: the id is no text.
        """
        sent = pushed_before(id)
        return Pushed(sent, self.options.queue, producer_for(via).sender, self.reader())

    async def _push(self, payloads: Sequence[Any], options: PushManyVia) -> list[Pushed[Any]]:
        chosen: dict[str, Any] = dict(options)
        producer = producer_for(chosen.pop("via", None))
        pushes = await apart(is_large(payloads), self.pushes, payloads, PushOptions(**chosen))
        return await producer.send(pushes, self.reader())

    def pushes(self, payloads: Sequence[Any], options: PushOptions) -> list[Push]:
        """Return the items to be, checked against the handler's contract.

        Raises:
            ContractError: a payload, or a file that must come along, does not fit.
        """
        producer = current_producer.get()
        if producer is not None and isinstance(producer.sender, InlineSender):
            producer.sender.know(self)
        found = []
        for payload in listed(payloads):
            stored = payload_json(self, payload)
            chosen = options
            if self.options.item_name is not None and not options.name:
                chosen = replace(chosen, name=item_name(self, stored))
            if self.options.unique is not None and options.unique is None:
                key, held_while = unique_key(self, stored), options.unique_while
                if key is not None and held_while is None:
                    held_while = self.options.unique_while
                chosen = replace(chosen, unique=key, unique_while=held_while)
            found.append(chosen.push(self.options.queue, stored))
        check_files(self, [Path(path).name for path in options.files])
        return found

    def reader(self) -> Callable[[JsonObject], Any]:
        """Return what makes this handler's result of the payload that its item ended with."""
        return reader_of(self)
