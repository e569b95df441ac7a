"""A push made ready: to a handler, by its own types, or to a queue by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.app.options import Handler
from worker.app.payload import check_files, json_object, payload_json
from worker.item.follow_up import FollowUp, follow_up_id
from worker.item.item import Item
from worker.producer.producer import Producer, Push, PushOptions


def ready(target: str | Handler[..., Any], payload: Any, options: Mapping[str, Any]) -> Push:
    """Return a push to a handler or to a queue by name.

    Raises:
        ContractError: the payload does not fit the target handler.
        TypeError: neither a handler nor a name, or a payload that is no object.
    """
    chosen = PushOptions(**options)
    if isinstance(target, Handler):
        check_files(target, [Path(path).name for path in chosen.files])
        return chosen.push(target.options.queue, payload_json(target, payload))
    if not isinstance(target, str):
        raise TypeError(f"push: {target!r} is neither a handler nor a queue's name")
    return chosen.push(target, json_object(payload, f"queue {target}"))


def follow_up(item: Item, push: Push) -> FollowUp:
    """Return a push as what is kept of it until its item has succeeded."""
    workitem = item.workitem
    return FollowUp(
        id=follow_up_id(workitem.id, workitem.retries, len(item.pushes), item.started),
        queue=push.queue,
        payload=push.payload,
        name=push.name,
        priority=push.priority,
        nextrun=push.nextrun,
        parent=workitem.id,
        unique=push.unique,
    )


class StandInDesk:
    """In the place of a worker's desk: nothing is stored, follow-up items are only kept.

    Args:
        producer: who carries pushes that do not wait for the item's end.
    """

    def __init__(self, producer: Producer | None = None) -> None:
        self.producer = producer
        self.pushes: list[Push] = []

    async def save(self, item: Item, *, now: bool) -> None:
        """Leave the marks on the item."""

    async def accept(
        self, item: Item, target: str | Handler[..., Any], payload: Any, options: Mapping[str, Any]
    ) -> FollowUp:
        """Check a follow-up item against its handler and keep it."""
        return await self.accept_ready(item, ready(target, payload, options))

    async def accept_ready(self, item: Item, push: Push) -> FollowUp:
        """Keep a follow-up item that was checked already."""
        self.pushes.append(push)
        return follow_up(item, push)
