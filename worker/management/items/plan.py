"""From what is asked for to a batch: which action, on which items, up to which moment."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from worker.management.errors import ForbiddenError, ValidationError
from worker.management.items.actions import (
    Action,
    Cancel,
    Delete,
    Move,
    Retry,
    Update,
    trouble_with_patch,
)
from worker.management.items.batch import Batch, OnProgress
from worker.management.items.errors import (
    FilterError,
    QueueNotFoundError,
    StateNotTouchedError,
)
from worker.management.items.filters import query_of
from worker.management.items.grouping import GROUP, OTHER
from worker.management.items.store import ItemStore
from worker.management.items.types import (
    BatchPayload,
    ItemFilter,
    ItemsCancelBatchPayload,
    ItemsDeleteBatchPayload,
    ItemsMoveBatchPayload,
    ItemsRetryBatchPayload,
)
from worker.openiap.errors import AccessDenied
from worker.openiap.rights import rights_of
from worker.producer.producer import Checks
from worker.state.server_clock import ServerClock

OVER: Final = timedelta(seconds=1)
"""So long ago is over by the server's clock, whatever a message takes."""


class Plan:
    """Makes batches.

    Args:
        contracts: what patched payloads are held to.
        history: entries that an item's timeline keeps.
    """

    def __init__(self, store: ItemStore, contracts: Checks | None, history: int) -> None:
        self._store = store
        self._history = history
        self._contracts = contracts

    async def batch(self, payload: BatchPayload, on_progress: OnProgress) -> Batch:
        """Return what does what was asked for; nothing is done yet.

        Raises:
            ValidationError: it cannot be done, or is too much.
            QueueNotFoundError, ForbiddenError: items cannot go to that queue.
            OpenIAPError: the server was asked and did not answer.
        """
        if payload.filter.is_empty:
            raise ValidationError(
                "A change of many items needs a filter, for example a queue; without one it would"
                " be all items of this OpenIAP."
            )
        require_group(payload.filter)
        given = payload.before
        before = await self._server_now() if given is None else _moment("before", given)
        action = await self._action(payload, before)
        filter = _narrowed(payload.filter, action)
        query_of(filter)  # what cannot be asked is refused before anything is done
        return Batch(self._store, action, filter, before, on_progress, history=self._history)

    async def _action(self, payload: BatchPayload, now: datetime) -> Action:
        if isinstance(payload, ItemsRetryBatchPayload):
            due = now - OVER if payload.at is None else _moment("at", payload.at, payload.spread)
            return Retry(due=due, spread=payload.spread)
        if isinstance(payload, ItemsCancelBatchPayload):
            return Cancel(payload.reason)
        if isinstance(payload, ItemsDeleteBatchPayload):
            return Delete()
        if isinstance(payload, ItemsMoveBatchPayload):
            return await self._move(payload)
        if (payload.priority is None) is (payload.patch is None):
            raise ValidationError("Give one of priority and patch.")
        trouble = "" if payload.patch is None else trouble_with_patch(payload.patch)
        if trouble:
            raise ValidationError(f"The patch is refused; allowed: {trouble}.")
        return Update(payload.priority, payload.patch, self._contracts)

    async def _move(self, payload: ItemsMoveBatchPayload) -> Move:
        queue = await self._store.get_queue(payload.to)
        if queue is None:
            raise QueueNotFoundError(payload.to)
        if payload.filter.queue == payload.to:
            raise ValidationError(f"The items of queue {payload.to} are there already.")
        rights = rights_of(queue, self._store.client.user)
        if rights is not None and "invoke" not in rights:
            raise ForbiddenError(
                f"This user may not push to queue {payload.to}: the right to invoke it is missing."
                " Nothing was moved."
            )
        acl = queue.get("_acl")
        return Move(payload.to, str(queue["_id"]), acl if isinstance(acl, list) else None)

    async def _server_now(self) -> datetime:
        try:
            # Asked anew each time: what was reckoned from an earlier answer lags behind the server
            # by the time that the answer took, and what changed in that time would be left alone.
            return await ServerClock(self._store.client).now()
        except AccessDenied:
            return datetime.now(UTC)


def require_group(filter: ItemFilter) -> None:
    """Refuse what is counted together, which is no group, and what is no group's id.

    Raises:
        FilterError: the filter names it.
    """
    if filter.group == OTHER:
        raise FilterError("group", OTHER, "the id of one group; narrow the filter to see more")
    if filter.group is not None and not GROUP.fullmatch(filter.group):
        raise FilterError("group", filter.group, "an id as items errors shows them")


def _moment(name: str, moment: datetime, spread: float = 0.0) -> datetime:
    """Return a moment in UTC, as which one without a zone is taken.

    Args:
        spread: seconds after it that must be moments, too.

    Raises:
        FilterError: there is no such moment, or none beside it.
    """
    try:
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if aware - OVER < aware + timedelta(seconds=spread):
            return aware
    except (ValueError, OverflowError):
        pass
    raise FilterError(name, moment, "a moment that UTC has")


def _narrowed(filter: ItemFilter, action: Action) -> ItemFilter:
    asked: Sequence[str] = filter.states or action.usual
    states: list[Any] = [one for one in asked if one in action.states]
    if not states:
        raise StateNotTouchedError(action.name, filter.states, action.states)
    return filter.model_copy(update={"states": states})
