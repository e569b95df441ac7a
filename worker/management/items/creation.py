"""Items made by operators: each is told what became of it.

1. Those without a key go in few messages where the client can, those with one on their own.
2. Where many go in one message and it is refused, each goes alone: one that is wrong keeps none
   of the others back.
3. What was refused was not done. Where the answer was lost it may have been.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from worker.item.json_form import NotJson
from worker.item.new_item import Push, Sent
from worker.item.push import ContractError, PushOptions, json_object
from worker.management.errors import AppError, ValidationError, from_openiap
from worker.management.items.types_of_changes import ItemCreatedResponse, NewItem, Result
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, OpenIAPError, QueueNotFound
from worker.openiap.values import checked_payload, json_text
from worker.producer.producer import Checks
from worker.producer.sender import ClientSender
from worker.telemetry.spans import sending

IN_FLIGHT: Final = 8
FOR_ALL: Final = (QueueNotFound, AccessDenied)
"""What is said of the queue and not of the item: the next ones would hear it, too."""


class Creation:
    """Makes items with the rights of a client's user.

    Args:
        namespace: of keys and items; see the setting of that name.
        contracts: what payloads are held to.
    """

    def __init__(self, client: Client, namespace: str, contracts: Checks | None) -> None:
        self._client = client
        self._namespace = namespace
        self.contracts = contracts

    def push_of(self, queue: str, item: NewItem) -> Push:
        """Return what is to be pushed.

        Raises:
            ValidationError: it cannot be, or does not fit its contract.
        """
        try:
            options = PushOptions(
                name=item.name,
                priority=item.priority,
                delay=item.delay,
                at=item.at,
                namespace="",
                headers=item.headers,
                unique=item.unique,
                unique_for=item.unique_for,
                unique_update=item.unique_update,
                unique_while=item.unique_while,
                expires=item.expires,
            )
            push = options.push(queue, json_object(item.payload, f"queue {queue}"))
            checked_payload(json_text(push.payload), operation="push_workitem")
            if self.contracts is not None:
                self.contracts.check(push)
        except (ContractError, NotJson, ValueError, OverflowError, RecursionError) as error:
            raise ValidationError(str(error) or "It cannot be pushed.") from error
        except OpenIAPError as error:
            raise ValidationError(error.text) from error
        return push

    async def one(self, push: Push) -> Sent:
        """Make an item.

        Raises:
            OpenIAPError: it was refused, or the answer was lost.
        """
        with sending([push]) as send:
            (sent,) = await ClientSender(self._client, self._namespace).send(send.pushes)
            send.sent([sent])
        return sent

    async def many(self, queue: str, items: Sequence[NewItem]) -> list[ItemCreatedResponse]:
        """Make items, and return what became of each."""
        ends: dict[int, ItemCreatedResponse] = {}
        pushes: dict[int, Push] = {}
        for place, item in enumerate(items):
            try:
                pushes[place] = self.push_of(queue, item)
            except AppError as error:
                ends[place] = ItemCreatedResponse(result="refused", reason=error.message)
        free = [place for place, push in pushes.items() if push.unique is None]
        if len(free) > 1 and self._client.capabilities.bulk_push:
            ends |= await self._together(free, pushes)
        left = iter([place for place in pushes if place not in ends])
        said_of_all: list[OpenIAPError] = []
        await asyncio.gather(
            *(self._alone(left, pushes, ends, said_of_all) for _ in range(IN_FLIGHT))
        )
        return [ends[place] for place in range(len(items))]

    async def _together(
        self, places: Sequence[int], pushes: dict[int, Push]
    ) -> dict[int, ItemCreatedResponse]:
        """Make items in few messages; those that were refused together are in no answer."""
        ends: dict[int, ItemCreatedResponse] = {}

        def told(first: int, sent: Sequence[Sent]) -> None:
            for place, one in zip(places[first : first + len(sent)], sent, strict=True):
                ends[place] = made(one)

        sender = ClientSender(self._client, self._namespace, on_sent=told)
        try:
            with sending([pushes[place] for place in places]) as send:
                send.sent(await sender.send(send.pushes))
        except OpenIAPError as error:
            if error.maybe_done:
                # The one message in flight may have made its items, and which those were nobody
                # tells: none of them is sent a second time.
                lost = _lost(error)
                ends = {place: ends.get(place, lost) for place in places}
        return ends

    async def _alone(
        self,
        left: Iterator[int],
        pushes: dict[int, Push],
        ends: dict[int, ItemCreatedResponse],
        said_of_all: list[OpenIAPError],
    ) -> None:
        for place in left:  # all share it
            if said_of_all:
                ends[place] = _refused(said_of_all[0])
                continue
            try:
                ends[place] = made(await self.one(pushes[place]))
            except OpenIAPError as error:
                ends[place] = _lost(error) if error.maybe_done else _refused(error)
                if isinstance(error, FOR_ALL):
                    said_of_all.append(error)


def made(sent: Sent) -> ItemCreatedResponse:
    """Return what came of a push that went through."""
    result: Result = "existing" if sent.existing else "created"
    return ItemCreatedResponse(result=result, id=sent.id, updated=sent.updated)


def _refused(error: OpenIAPError) -> ItemCreatedResponse:
    return ItemCreatedResponse(result="refused", reason=from_openiap(error).message)


def _lost(error: OpenIAPError) -> ItemCreatedResponse:
    return ItemCreatedResponse(result="unknown", reason=from_openiap(error).message)
