"""Queues for operators: looked at, made, changed, purged, deleted, paused and resumed."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from worker.engine.fleet.report import report_of
from worker.engine.pause import PAUSE, Pause
from worker.management.errors import ValidationError, said_by_openiap
from worker.management.items.service import Items
from worker.management.items.types import (
    BatchPreviewResponse,
    BatchResponse,
    ItemFilter,
    ItemsGetGroupsPayload,
)
from worker.management.paging import PaginatedResponse
from worker.management.queues.decisions import (
    MINUTE,
    batch_of,
    counted,
    fits,
    granted,
    in_order,
    listed,
    pause_of,
    values_of,
    with_counts,
)
from worker.management.queues.errors import (
    PrincipalNotFoundError,
    QueueExistsError,
    QueueForbiddenError,
    QueueKeptError,
    QueueNotFoundError,
)
from worker.management.queues.store import QueueStore
from worker.management.queues.types import (
    QueueCreatePayload,
    QueueDeletePayload,
    QueueDetailResponse,
    QueueFilter,
    QueueGetCountPayload,
    QueueGetPayload,
    QueueItemsResponse,
    QueuePausePayload,
    QueuePurgePayload,
    QueuePurgeResponse,
    QueueResponse,
    QueueResumePayload,
    QueuesGetListPayload,
    QueuesGetPListPayload,
    QueueUpdatePayload,
    SortBy,
    queue_of,
)
from worker.management.workers.hours import hours_of_fleet
from worker.management.workers.store import WorkerStore
from worker.management.workers.types import HourResponse
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied
from worker.openiap.fields import id_of, text_of
from worker.openiap.rights import WORKS, rights_of
from worker.openiap.workitem import JsonObject
from worker.state.server_clock import ServerClock

MOST_GROUPS: Final = 5
OnGone = Callable[[int], None]


def nobody(number: int) -> None:
    """Tell nobody how many items are gone."""


class Queues:
    """What operators do with queues, with the rights of a client's user.

    Args:
        client: signed in.
    """

    def __init__(self, client: Client) -> None:
        self._store = QueueStore(client)
        self._items = Items(client)
        self._fleet = WorkerStore(client)

    async def get_one(self, payload: QueueGetPayload) -> QueueDetailResponse:
        """Return a queue whole.

        Raises:
            QueueNotFoundError: there is none, or none for this user.
        """
        with said_by_openiap():
            document = await self._found(payload.name)
            now = datetime.now(UTC)
            workers = await self._workers(now - MINUTE)
            held = await self._store.count(payload.name)
            listed = with_counts(queue_of(document, now), held, None, workers, now)
            load = await self._store.load(payload.name, now)
            ended = await self._store.ended_within(payload.name, now, MINUTE)
            hour = await self._last_hour(payload.name, now)
        errors = await self._items.get_groups(
            ItemsGetGroupsPayload(filter=ItemFilter(queue=payload.name))
        )
        return QueueDetailResponse(
            **listed.model_dump(exclude={"oldest_waiting"}),
            oldest_waiting=load.oldest_waiting if load.waiting else None,
            due=load.waiting,
            oldest_processing=load.oldest_running if load.running else None,
            items_per_second=ended / MINUTE.total_seconds(),
            last_hour=hour,
            errors=errors[:MOST_GROUPS],
        )

    async def get_list(self, payload: QueuesGetListPayload) -> list[QueueResponse]:
        """Return all queues that this user sees."""
        with said_by_openiap():
            return await self._all(payload.filter, payload.sort_by, payload.sort_direction)

    async def get_plist(self, payload: QueuesGetPListPayload) -> PaginatedResponse[QueueResponse]:
        """Return a page of queues, and how many there are."""
        with said_by_openiap():
            found = await self._all(payload.filter, payload.sort_by, payload.sort_direction)
        page = found[payload.offset : payload.offset + payload.limit]
        return PaginatedResponse(
            items=page, total=len(found), limit=payload.limit, offset=payload.offset
        )

    async def get_count(self, payload: QueueGetCountPayload) -> int:
        """Return how many items a queue holds, in whatever state.

        Raises:
            QueueNotFoundError: there is none.
        """
        with said_by_openiap():
            await self._found(payload.name)
            return sum((await self._store.count(payload.name)).values())

    async def get_counts(self) -> dict[str, QueueItemsResponse]:
        """Return how many items each queue holds that has some, by state: one message."""
        with said_by_openiap():
            found = await self._store.tally()
        return {name: QueueItemsResponse(**states) for name, states in found.items()}

    async def get_documents(self) -> list[JsonObject]:
        """Return the documents of all queues that this user sees; one message for 500."""
        with said_by_openiap():
            return await self._store.get_list()

    async def get_waiting(self) -> dict[str, datetime]:
        """Return since when the oldest due item of each queue waits: one message."""
        with said_by_openiap():
            return await self._store.waiting(datetime.now(UTC))

    async def get_workers(self) -> list[JsonObject]:
        """Return the documents of workers heard of in the last minute, as ``counted`` takes them;
        none where this user may not see them."""
        with said_by_openiap():
            return await self._workers(datetime.now(UTC) - MINUTE)

    async def create_one(self, payload: QueueCreatePayload) -> QueueResponse:
        """Make a queue; the answer says what is unwise about it.

        Raises:
            ValidationError: no name.
            QueueExistsError: there is one.
            QueueNotFoundError: a queue to go on to is not there.
            PrincipalNotFoundError: a role or user is not there.
        """
        name = payload.name
        if not name.strip():
            raise ValidationError("A queue needs a name.")
        with said_by_openiap():
            if await self._store.get_one(name) is not None:
                raise QueueExistsError(name)
            chain, entries = await self._chain(payload), await self._entries(payload.workers)
            await self._store.create_one(name, values_of(payload), chain)
            made = await self._found(name)
            # Rights are written once there are some, so that those of the maker stay.
            later = chain if self._store.administers else {}
            return await self._written(made, {**later, **granted(made, entries)})

    async def update_one(self, payload: QueueUpdatePayload) -> QueueResponse:
        """Change a queue; the answer says what is unwise about it.

        Raises:
            QueueNotFoundError: it, or a queue to go on to, is not there.
            PrincipalNotFoundError: a role or user is not there.
            ForbiddenError: this user may not change it.
        """
        with said_by_openiap():
            document = await self._found(payload.name)
            chain, entries = await self._chain(payload), await self._entries(payload.workers)
            rights = granted(document, entries)
            return await self._written(document, {**values_of(payload), **chain, **rights})

    async def delete_one(self, payload: QueueDeletePayload, on_gone: OnGone = nobody) -> None:
        """Delete a queue with all its items.

        Raises:
            QueueNotFoundError: there is none.
            QueueForbiddenError: this user may not delete it; then its items stay.
            QueueKeptError: OpenIAP did not delete it.
        """
        with said_by_openiap():
            name = payload.name
            document = await self._deletable(name)
            await self._purge(name, on_gone)
            await self._store.delete_one(name, id_of(document))
            if not self._store.administers and await self._store.get_one(name) is not None:
                raise QueueKeptError(
                    f"Queue {name} is empty now and still there: OpenIAP does not let this client"
                    " delete it. Use the native one: --client native."
                )

    async def purge_one(
        self, payload: QueuePurgePayload, on_gone: OnGone = nobody
    ) -> QueuePurgeResponse:
        """Delete items of a queue and their files; those that are pushed meanwhile may or may not
        be among them.

        Args:
            payload: which.
            on_gone: called with how many more were deleted.

        Raises:
            QueueNotFoundError: there is none.
            QueueKeptError: this user may not delete its items.
            FilterError: the filter cannot be.
        """
        name = payload.name
        with said_by_openiap():
            await self._found(name)
            if payload.filter.is_empty:
                return QueuePurgeResponse(queue=name, deleted=await self._purge(name, on_gone))
        told = 0

        def on_progress(response: BatchResponse) -> None:
            nonlocal told
            on_gone(response.done - told)
            told = response.done

        done = await self._items.delete_batch(batch_of(payload), on_progress)
        return QueuePurgeResponse(
            queue=name, deleted=done.done, changed=done.changed, failed=done.failed
        )

    async def preview_delete(self, payload: QueueDeletePayload) -> BatchPreviewResponse:
        """Return how many items would go with a queue, and change nothing.

        Raises:
            QueueNotFoundError: there is none.
            QueueForbiddenError: this user may not delete it.
        """
        with said_by_openiap():
            await self._deletable(payload.name)
        return await self._whole(payload.name)

    async def preview_purge(self, payload: QueuePurgePayload) -> BatchPreviewResponse:
        """Return how many items a purge would delete, and change nothing. Raises: as
        ``purge_one``."""
        if payload.filter.is_empty:
            return await self._whole(payload.name)
        with said_by_openiap():
            await self._found(payload.name)
        return await self._items.preview_batch(batch_of(payload))

    async def pause_one(self, payload: QueuePausePayload) -> QueueResponse:
        """Have no worker of the fleet pop a queue, until it is resumed or the pause is over; items
        in flight finish. A pause that is there already is replaced.

        Raises:
            QueueNotFoundError: there is none.
            QueueForbiddenError: this user may not update the queue.
            ValidationError: an end that is over, or two.
        """
        with said_by_openiap():
            document = await self._found(payload.name)
            now = await self._server_now()
            pause = pause_of(payload, self._store.client.user, now)
            return await self._set_pause(document, pause, now)

    async def resume_one(self, payload: QueueResumePayload) -> QueueResponse:
        """Let a queue be popped again; nothing is done to one that is not paused.

        Raises:
            QueueNotFoundError: there is none.
            QueueForbiddenError: this user may not update the queue.
        """
        with said_by_openiap():
            document = await self._found(payload.name)
            now = datetime.now(UTC)
            if PAUSE not in document:
                return queue_of(document, now)
            return await self._set_pause(document, None, now)

    async def _deletable(self, name: str) -> JsonObject:
        document = await self._found(name)
        rights = rights_of(document, self._store.client.user)
        if rights is not None and "delete" not in rights:
            raise QueueForbiddenError(name, "deleted", "delete", "Nothing was deleted.")
        return document

    async def _whole(self, name: str) -> BatchPreviewResponse:
        count = await self.get_count(QueueGetCountPayload(name=name))
        now = datetime.now(UTC)
        return BatchPreviewResponse(count=count, sample=[], conditional=False, before=now)

    async def _set_pause(
        self, document: JsonObject, pause: Pause | None, now: datetime
    ) -> QueueResponse:
        name, what = text_of(document.get("name")), "paused" if pause else "resumed"
        value = None if pause is None else pause.document()
        try:
            done = await self._store.set_field(id_of(document), PAUSE, value)
        except AccessDenied:
            done = False
        if not done:
            raise QueueForbiddenError(name, what, "update")
        rest = {key: one for key, one in document.items() if key != PAUSE}
        return queue_of(rest if value is None else {**rest, PAUSE: value}, now)

    async def _all(
        self, filter: QueueFilter, sort_by: SortBy, direction: str
    ) -> list[QueueResponse]:
        documents = await self._store.get_list()
        now = datetime.now(UTC)  # looking writes nothing, and asking for the server's time does
        found = listed(documents, now)
        if any(fits(queue, filter) for queue in found):
            workers = await self._workers(now - MINUTE)
            items, oldest = await self._store.tally(), await self._store.waiting(now)
            found = counted(found, items, oldest, workers, now)
        return in_order([one for one in found if fits(one, filter)], sort_by, direction)

    async def _last_hour(self, name: str, now: datetime) -> HourResponse | None:
        documents = await self._fleet.get_list(queue=name)
        reports = [report for one in documents if (report := report_of(one, now)) is not None]
        return hours_of_fleet(reports, now).get(name)

    async def _workers(self, since: datetime) -> list[JsonObject]:
        try:
            return await self._store.get_workers(since)
        except AccessDenied:
            return []

    async def _found(self, name: str) -> JsonObject:
        document = await self._store.get_one(name)
        if document is None:
            raise QueueNotFoundError(name)
        return document

    async def _purge(self, name: str, on_gone: OnGone) -> int:
        gone = 0
        while items := await self._store.get_some_items(name):
            deleted = await self._store.delete_items(items)
            if not deleted:
                raise QueueKeptError(
                    f"The items of queue {name} are there and cannot be deleted: this user has no"
                    " right to delete them."
                )
            gone += deleted
            on_gone(deleted)
        return gone

    async def _chain(self, payload: QueueCreatePayload | QueueUpdatePayload) -> dict[str, str]:
        """Return the fields for the success and failed queues: names, and the ids that go along."""
        fields: dict[str, str] = {}
        for key, target in (
            ("success_wiq", payload.success_queue),
            ("failed_wiq", payload.failed_queue),
        ):
            if target is not None:
                fields[key] = target
                fields[f"{key}id"] = id_of(await self._found(target)) if target else ""
        return fields

    async def _entries(self, names: Sequence[str]) -> list[JsonObject]:
        """Return the access list's entries for roles and users."""
        entries: list[JsonObject] = []
        for name in names:
            found = await self._store.get_principal(name)
            if found is None:
                raise PrincipalNotFoundError(name)
            entries.append({"_id": id_of(found), "name": name, "rights": WORKS})
        return entries

    async def _written(self, document: JsonObject, values: Mapping[str, Any]) -> QueueResponse:
        if values:
            await self._store.replace_one({**document, **values})
        name = text_of(document.get("name"))
        return queue_of(await self._found(name), datetime.now(UTC))

    async def _server_now(self) -> datetime:
        try:
            return await ServerClock(self._store.client).now()
        except AccessDenied:
            return datetime.now(UTC)
