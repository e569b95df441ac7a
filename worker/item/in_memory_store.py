"""A store for an item without a worker, and what a follow-up of an item is called."""

from datetime import UTC, datetime

from worker.item.item import Item
from worker.item.long_work import StepClock
from worker.item.new_item import FollowUp, Push, Sender, follow_up_id
from worker.item.steps import Part
from worker.openiap.workitem import JsonObject


def follow_up(item: Item, push: Push) -> FollowUp:
    """Return a push as the next follow-up of an item."""
    return FollowUp(
        id=follow_up_id(item.id, item.attempt - 1, len(item.pushes), item.started),
        queue=push.queue,
        payload=push.payload,
        name=push.name,
        priority=push.priority,
        nextrun=push.nextrun,
        parent=item.id,
        unique=push.unique,
    )


class InMemoryStore:
    """A store for an item without a worker: nothing is written, follow-up items are only kept."""

    def __init__(self) -> None:
        self.pushes: list[Push] = []

    @property
    def sender(self) -> Sender | None:
        """Nobody."""
        return None

    async def save(self, item: Item, *, now: bool) -> None:
        """Leave the metadata on the item."""

    async def accept(self, item: Item, push: Push) -> FollowUp:
        """Keep a follow-up item."""
        self.pushes.append(push)
        return follow_up(item, push)

    async def clock(self, item: Item) -> StepClock:
        """Nobody would call the handler again, so all sleeps are over."""
        return StepClock(datetime.now(UTC), awake=True)

    async def keep(self, item: Item, part: Part, key: str) -> None:
        """Leave the entry on the item."""

    async def signals(self, item_id: str, name: str, past: list[str]) -> list[JsonObject]:
        """Nobody can have told the item anything."""
        return []

    async def pass_over(self, item_id: str, signal_id: str, why: str) -> None:
        """There is none; see ``signals``."""

    async def sleeps(self, item: Item, until: datetime) -> None:
        """It does not happen; see ``clock``."""
