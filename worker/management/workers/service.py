"""Workers: who is there, what each does, and steering them."""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from worker.engine.fleet.command import LONGEST, Command
from worker.engine.fleet.presence import is_gone
from worker.engine.fleet.report import Report, report_of
from worker.engine.steering import LEVELS, MOST_SLOTS
from worker.management.errors import AppError, ValidationError, said_by_openiap
from worker.management.paging import PaginatedResponse
from worker.management.workers.errors import (
    CommandValueError,
    NotLivingError,
    NotSteerableError,
    NoWorkersError,
    OtherQueuesError,
    SteeringForbiddenError,
    WorkerNotFoundError,
)
from worker.management.workers.fleet import Fleet
from worker.management.workers.hours import hour_of_all, hours_of_fleet
from worker.management.workers.store import WorkerStore
from worker.management.workers.types import (
    HourResponse,
    SteeredResponse,
    WorkerDetailResponse,
    WorkerFilter,
    WorkerGetPayload,
    WorkerResponse,
    WorkersGetHourPayload,
    WorkersGetListPayload,
    WorkersGetPListPayload,
    WorkersSteerBatchPayload,
    WorkersSteerBatchResponse,
    WorkerSteerPayload,
)
from worker.management.workers.views import detail_of, queues_of, sorted_by, without, worker_of
from worker.openiap.client import Client
from worker.openiap.fields import id_of, object_of, objects_of, text_of
from worker.openiap.workitem import JsonObject

DEAD_AFTER: Final = 45.0
"""Seconds of silence, as the setting ``dead_after`` has it by default."""
LOOK_EVERY: Final = 0.5
LOOKS_SLOWER: Final = 1.5
LONGEST_PAUSE: Final = 3.0
AGAIN: Final = 3
"""Each so many looks it is seen to that commands still stand in their mailboxes."""
PATIENCE: Final = 2.0
"""Seconds beyond a command's time in which an answer may still come."""


class Workers:
    """What operators see and do with workers, with one client and its user's rights.

    Args:
        dead_after: seconds of silence after which a worker counts as dead; as its workers have it.
        namespace: where this package may keep the server's clock.
    """

    def __init__(
        self, client: Client, *, dead_after: float = DEAD_AFTER, namespace: str = ""
    ) -> None:
        self._store = WorkerStore(client, namespace)
        self._dead_after = dead_after

    async def get_one(self, payload: WorkerGetPayload) -> WorkerDetailResponse:
        """Return a worker whole, also one that ended within the last hour.

        Raises:
            WorkerNotFoundError: there is none, or none for this user.
        """
        with said_by_openiap():
            now = await self._store.now()
            for document in await self._store.get_list(ids=[payload.id]):
                report = report_of(document, now)
                if report is not None:
                    report = without(report, await self._store.get_hidden(queues_of([report])))
                    return detail_of(report, document, now, self._dead_after)
        raise WorkerNotFoundError(payload.id)

    async def get_list(self, payload: WorkersGetListPayload) -> list[WorkerDetailResponse]:
        """Return all workers that this user sees, whole: one message for 100 of them."""
        with said_by_openiap():
            now = await self._store.now()
        found = await self._found(payload.filter, now)
        whole = [detail_of(report, one, now, self._dead_after) for _, report, one in found]
        return sorted_by(whole, payload.sort_by, payload.sort_direction)

    async def get_fleet(self, *, id: str | None = None, queue: str | None = None) -> Fleet:
        """Return what views of workers are made of: one message for 100 of them.

        Args:
            id: of one worker alone.
            queue: of the workers of one queue alone.
        """
        with said_by_openiap():
            now = await self._store.now()
            ids = () if id is None else (id,)
            documents = await self._store.get_list(ids=ids, queue=queue)
        return Fleet(documents, now, self._dead_after, self._store.sees_all)

    async def get_plist(self, payload: WorkersGetPListPayload) -> PaginatedResponse[WorkerResponse]:
        """Return a page of workers, and how many there are."""
        found = [worker for worker, _, _ in await self._found(payload.filter)]
        ordered = sorted_by(found, payload.sort_by, payload.sort_direction)
        return PaginatedResponse(
            items=ordered[payload.offset : payload.offset + payload.limit],
            total=len(ordered),
            limit=payload.limit,
            offset=payload.offset,
        )

    async def get_hour(self, payload: WorkersGetHourPayload) -> list[HourResponse]:
        """Return the last hour of each queue, workers that are gone included."""
        with said_by_openiap():
            now = await self._store.now()
        reports = [report for _, report, _ in await self._found(payload.filter, now)]
        hours = hours_of_fleet(reports, now)
        wanted = payload.filter.queue
        return [hour for name, hour in hours.items() if wanted is None or name == wanted]

    async def get_hour_of_all(self, payload: WorkersGetHourPayload) -> HourResponse:
        """Return the last hour of all queues of these workers together; its queue is ""."""
        with said_by_openiap():
            now = await self._store.now()
        found = await self._found(payload.filter, now)
        return hour_of_all([report for _, report, _ in found], now)

    async def steer_one(self, payload: WorkerSteerPayload) -> SteeredResponse:
        """Tell a worker to do something, and wait for its answer.

        Raises:
            ValidationError: a value that cannot be.
            WorkerNotFoundError: there is none that lives, or none for this user.
            SteeringForbiddenError, NotSteerableError: it was not told.
        """
        (answered,) = await self._steered(payload, WorkerFilter.model_construct(ids=[payload.id]))
        if isinstance(answered, AppError):
            raise answered
        return answered

    async def steer_batch(self, payload: WorkersSteerBatchPayload) -> WorkersSteerBatchResponse:
        """Tell workers to do something, and wait for their answers.

        Raises:
            ValidationError: a value that cannot be.
            WorkerNotFoundError: a worker that was named is not there.
            OtherQueuesError: it does not work the queue that was named.
            NotLivingError: it has ended.
            NoWorkersError: no living worker is meant.
        """
        return WorkersSteerBatchResponse(
            action=payload.action,
            workers=[
                SteeredResponse(worker=text_of(one.details.get("id")), done=False, text=str(one))
                if isinstance(one, AppError)
                else one
                for one in await self._steered(payload, payload.filter)
            ],
        )

    async def _steered(
        self, payload: WorkerSteerPayload | WorkersSteerBatchPayload, filter: WorkerFilter
    ) -> list[SteeredResponse | AppError]:
        """Tell workers; returns of each its answer, or why it was not told."""
        _check(payload)
        with said_by_openiap():
            now = await self._store.now()
            living = [
                (worker, report)
                for worker, report, _ in await self._found(filter, now)
                if worker.state in ("working", "quiet")
            ]
            ids = {worker.id for worker, _ in living}
            for id in filter.ids:
                if id not in ids:
                    raise await self._why_not(id, filter.queue, now)
            if not living:
                raise NoWorkersError(filter.queue)
            return await self._told(payload, [report for _, report in living], now)

    async def _why_not(self, id: str, queue: str | None, now: datetime) -> AppError:
        """Return why a worker that was named is none of those that are meant."""
        found = await self._found(WorkerFilter.model_construct(ids=[id]), now)
        if not found:
            return WorkerNotFoundError(id)
        worker, report, _ = found[0]
        queues = [one.name for one in report.queues]
        if queue is not None and queue not in queues:
            return OtherQueuesError(id, queue, queues)
        return NotLivingError(id, worker.state)

    async def _told(
        self,
        payload: WorkerSteerPayload | WorkersSteerBatchPayload,
        reports: Sequence[Report],
        now: datetime,
    ) -> list[SteeredResponse | AppError]:
        expires = now + timedelta(seconds=min(payload.within, LONGEST.total_seconds() / 2))
        boxes = await self._store.get_mailboxes([one.mailbox for one in reports if one.mailbox])
        mailboxes = {id_of(one): one for one in boxes}
        answers: dict[str, SteeredResponse | AppError] = {}
        waiting: dict[str, Command] = {}
        for report in reports:
            name = report.peer.id
            command = Command(
                secrets.token_hex(12), payload.action, expires, payload.queue, payload.value
            )
            why = await self._sent(name, report.mailbox, mailboxes, command)
            if why is not None:
                answers[name] = why
            else:
                waiting[name] = command
        boxed = {report.peer.id: report.mailbox for report in reports}
        answers |= await self._answers(waiting, boxed, payload.action, payload.within)
        return [answers[report.peer.id] for report in reports]

    async def _sent(
        self, name: str, mailbox: str, mailboxes: dict[str, JsonObject], command: Command
    ) -> AppError | None:
        """Send a command; returns why it could not be."""
        if not mailbox:
            why = "its setting steering is off, it began a moment ago, or its version is older"
            return NotSteerableError(name, why)
        box = mailboxes.get(mailbox)
        if box is None or text_of(box.get("worker")) != name:
            return SteeringForbiddenError(name)
        if not await self._store.send(box, command):
            return SteeringForbiddenError(name)
        return None

    async def _answers(
        self, waiting: dict[str, Command], boxed: dict[str, str], action: str, within: float
    ) -> dict[str, SteeredResponse]:
        """Wait for what workers answer; a command that another one has overwritten is sent again,
        which is the same one to the worker."""
        answers: dict[str, SteeredResponse] = {}
        left, pause, looks = within + PATIENCE, LOOK_EVERY, 0
        while waiting and left > 0:
            looks += 1
            if looks % AGAIN == 0:
                ids = {command.id for command in waiting.values()}
                for box in await self._store.lost([boxed[name] for name in waiting], ids):
                    await self._store.send(box, waiting[text_of(box.get("worker"))])

            await asyncio.sleep(min(pause, left))
            left -= pause
            pause = min(LONGEST_PAUSE, pause * LOOKS_SLOWER)
            there = set()
            for document in await self._store.get_answers(list(waiting)):
                name = id_of(document)
                there.add(name)
                said = _said(document, waiting[name].id, name)
                if said is None and is_gone(document):
                    there.discard(name)
                elif said is not None:
                    answers[name] = said
            for name in [one for one in waiting if one in answers or one not in there]:
                if name not in answers:
                    text = "it has ended"
                    answers[name] = SteeredResponse(worker=name, done=action == "stop", text=text)
                del waiting[name]
        for name in waiting:
            text = f"no answer within {within:g} s; after that it is not done any more"
            answers[name] = SteeredResponse(worker=name, done=False, text=text)
        return answers

    async def _found(
        self, filter: WorkerFilter, now: datetime | None = None
    ) -> list[tuple[WorkerResponse, Report, JsonObject]]:
        with said_by_openiap():
            if now is None:
                now = await self._store.now()
            documents = await self._store.get_list(ids=filter.ids, queue=filter.queue)
            told = [(report_of(document, now), document) for document in documents]
            reports = [(report, document) for report, document in told if report is not None]
            hidden = await self._store.get_hidden(queues_of(report for report, _ in reports))
        if filter.queue in hidden:
            return []
        found = []
        for whole, document in reports:
            report = without(whole, hidden)
            worker = worker_of(report, document, self._dead_after)
            if filter.states and worker.state not in filter.states:
                continue
            if filter.trouble is None or filter.trouble == bool(worker.trouble):
                found.append((worker, report, document))
        return found


def _check(payload: WorkerSteerPayload | WorkersSteerBatchPayload) -> None:
    """Refuse what no worker would do.

    Raises:
        ValidationError: it says why.
    """
    if payload.action == "concurrency":
        if not payload.queue:
            raise ValidationError("concurrency needs a queue.", {"part": "queue"})
        if not isinstance(payload.value, int) or not 1 <= payload.value <= MOST_SLOTS:
            raise CommandValueError("concurrency", payload.value, [f"1 to {MOST_SLOTS}"])
    elif payload.action == "log_level":
        if payload.value not in LEVELS:
            raise CommandValueError("log_level", payload.value, LEVELS)
    elif payload.value is not None:
        raise ValidationError(f"{payload.action} takes no value.", {"part": "value"})


def _said(document: JsonObject, command: str, name: str) -> SteeredResponse | None:
    report = object_of(object_of(document.get("lastseen")).get("report"))
    for answer in objects_of(report.get("answers")):
        if answer.get("id") == command:
            done, text = answer.get("done") is True, text_of(answer.get("text"))
            return SteeredResponse(worker=name, done=done, text=text)
    return None
