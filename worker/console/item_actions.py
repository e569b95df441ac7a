"""What can be done with one item: its buttons, and what each of them does."""

from typing import Any, Final

from nicegui import ui

from worker.console.item_forms import (
    asked_for_priority,
    asked_for_reason,
    asked_for_signal,
    asked_for_target,
    edited_payload,
)
from worker.console.live.services import Services
from worker.console.parts.actions import action
from worker.console.parts.dialogs import confirmed
from worker.console.parts.patches import patch_between
from worker.console.parts.texts import url_of
from worker.console.visits import Visit
from worker.item.metadata import taken_out
from worker.item.signals import kept_signals
from worker.item.steps import Steps
from worker.management.errors import AppError, ValidationError
from worker.management.items.cancelling import ItemCancelPayload
from worker.management.items.signalling import ItemSignalPayload
from worker.management.items.types import (
    ItemDeletePayload,
    ItemDetailResponse,
    ItemGetPayload,
    ItemResponse,
    ItemRetryPayload,
)
from worker.management.items.types_of_changes import ItemMovePayload, ItemUpdatePayload
from worker.management.queues.types import QueuesGetListPayload
from worker.openiap.fields import object_of

CANCELLED: Final = frozenset({"new", "processing"})
CHANGED: Final = frozenset({"new", "failed"})
"""States in which the services change an item; buttons for other states are hidden."""


class ItemActions:
    """The buttons of one item's page."""

    def __init__(self, visit: Visit, id: str) -> None:
        self._visit = visit
        self._id = id
        self._state = ""
        self._queue = ""
        self._priority: int | None = None
        self._payload: dict[str, Any] = {}
        self._retry: ui.button | None = None
        self._awaited: list[str] = []
        self._signal: ui.button | None = None
        self._cancel: ui.button | None = None
        self._changing: list[ui.button | None] = []

    def draw(self) -> None:
        """Show them."""
        visit = self._visit
        self._retry = action(visit, "Retry", self._retrying, icon="replay", tone="main")
        self._signal = action(visit, "Signal", self._signalling, icon="bolt", tone="main")
        if self._signal is not None:
            self._signal.set_visibility(False)
        self._changing = [
            action(visit, "Edit", self._editing, icon="edit"),
            action(visit, "Move", self._moving, icon="drive_file_move"),
            action(visit, "Priority", self._prioritising, icon="low_priority"),
        ]
        self._cancel = action(visit, "Cancel item", self._cancelling, icon="block", tone="danger")
        action(visit, "Delete", self._deleting, icon="delete", tone="danger")

    def know(self, item: ItemResponse) -> None:
        """Take note of how the item is."""
        self._state, self._queue = item.state or "", item.queue or ""
        self._priority = item.priority
        if self._retry is not None:
            self._retry.set_visibility(self._state != "new")
        if self._signal is not None:
            self._signal.set_visibility(self._state == "new" and bool(self._awaited))
        if self._cancel is not None:
            self._cancel.set_visibility(self._state in CANCELLED)
        for button in self._changing:
            if button is not None:
                button.set_visibility(self._state in CHANGED)

    def know_whole(self, item: ItemDetailResponse) -> None:
        """Take note of its payload, too."""
        self._payload, kept = taken_out(object_of(item.payload))
        waits = kept_signals(Steps(self._id, kept.steps))
        self._awaited = [one.signal for one in waits if one.waits]
        self.know(item)

    async def _retrying(self) -> None:
        force = self._state == "processing"
        if force and not await confirmed(
            "Retry an item that is being worked?",
            "If the worker that has it lives, the item runs twice. A worker that is gone is noticed"
            " by the others anyway.",
            "Retry it all the same",
        ):
            return
        if self._state == "successful" and not await confirmed(
            "Work an item again that is done?",
            "All that its handler does is done once more. Nothing takes that back.",
            "Work it again",
            danger=False,
        ):
            return
        await self._put_back(force=force)

    async def _put_back(self, *, force: bool = False) -> None:
        payload = ItemRetryPayload.model_construct(id=self._id, force=force)
        done = await self._visit.do(
            f"retry item {self._id!r}", lambda s: s.items.retry_one(payload)
        )
        if done is not None:
            self._visit.tell("The item is new again.")

    async def _cancelling(self) -> None:
        does = (
            "Its handler is asked to end now; what it returns all the same counts."
            if self._state == "processing"
            else "It fails, and no worker takes it any more."
        )
        reason = await asked_for_reason(f"{does} It is not tried again by itself.")
        if reason is None:
            return
        payload = ItemCancelPayload.model_construct(id=self._id, reason=reason)
        done = await self._visit.do(
            f"cancel item {self._id!r}", lambda s: s.items.cancel_one(payload)
        )
        if done is None:
            return
        if done.result == "stopping":
            self._visit.tell("The worker of the item is told to end it.")
        else:
            self._visit.tell("The item is cancelled.", undo=self._put_back)

    async def _signalling(self) -> None:
        if not self._awaited:
            return
        told = await asked_for_signal(self._awaited)
        if told is None:
            return
        name, value = told
        payload = ItemSignalPayload.model_construct(id=self._id, name=name, value=value, key="")
        done = await self._visit.do(
            f"signal {name!r} to item {self._id!r}", lambda s: s.items.signal_one(payload)
        )
        if done is not None:
            self._visit.tell(f"The item is told {name}.")

    async def _editing(self) -> None:
        before = dict(self._payload)

        async def save(patch: dict[str, Any]) -> None:
            await self._visit.done(f"edit item {self._id!r}", self._patching(patch))

        if not await edited_payload(before, save):
            return
        try:
            current = await self._visit.ask(self._read)
            back = patch_between(current, before)
        except AppError:
            self._visit.tell("The payload is changed.")
            return

        async def undo() -> None:
            if await self._visit.do(f"edit item {self._id!r} back", self._patching(back)):
                self._visit.tell("The payload is as it was.")

        self._visit.tell("The payload is changed.", undo=undo)

    def _patching(self, patch: dict[str, Any]) -> Any:
        payload = ItemUpdatePayload.model_construct(id=self._id, priority=None, patch=patch)

        async def change(services: Services) -> ItemResponse:
            return await services.items.update_one(payload)

        return change

    async def _read(self, services: Services) -> dict[str, Any]:
        found = await services.items.get_one(ItemGetPayload.model_construct(id=self._id))
        return taken_out(object_of(found.payload))[0]

    async def _moving(self) -> None:
        try:
            found = await self._visit.ask(lambda s: s.queues.get_list(QueuesGetListPayload()))
        except AppError as error:
            self._visit.tell(error.message, "error")
            return
        before = self._queue
        to = await asked_for_target([one.name for one in found if one.name != before])
        if to is None or not await self._move(to):
            return

        async def undo() -> None:
            if await self._move(before):
                self._visit.tell(f"The item is back in {before}.")

        self._visit.tell(f"The item is in {to} now.", undo=undo)

    async def _move(self, to: str) -> bool:
        payload = ItemMovePayload.model_construct(id=self._id, to=to)
        done = await self._visit.do(
            f"move item {self._id!r} to {to!r}", lambda s: s.items.move_one(payload)
        )
        return done is not None

    async def _prioritising(self) -> None:
        before = self._priority
        wanted = await asked_for_priority(before)
        if wanted is None or wanted == before or not await self._prioritise(wanted):
            return

        async def undo() -> None:
            if before is not None and await self._prioritise(before):
                self._visit.tell(f"The priority is {before} again.")

        self._visit.tell(f"The priority is {wanted}.", undo=None if before is None else undo)

    async def _prioritise(self, priority: int) -> bool:
        async def change(services: Services) -> ItemResponse:
            try:
                payload = ItemUpdatePayload(id=self._id, priority=priority)
            except ValueError:
                raise ValidationError(
                    f"Priority {priority}; allowed: -1,000,000 to 1,000,000."
                ) from None
            return await services.items.update_one(payload)

        done = await self._visit.do(f"item {self._id!r}: priority {priority}", change)
        return done is not None

    async def _deleting(self) -> None:
        running = " Somebody works it." if self._state == "processing" else ""
        if not await confirmed(
            "Delete this item?",
            f"The item and its files go.{running} This cannot be undone.",
            "Delete it",
        ):
            return

        async def delete(services: Services) -> bool:
            await services.items.delete_one(ItemDeletePayload.model_construct(id=self._id))
            return True

        if await self._visit.do(f"delete item {self._id!r}", delete):
            self._visit.browser.open(url_of("/items", queue=self._queue or None))
