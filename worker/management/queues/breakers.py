"""Breakers for operators: how they stand, and forced open or closed by hand."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.engine.breakers.circuit import Circuit, Forced, Stands, circuits_of
from worker.engine.breakers.store import write_circuit
from worker.management.errors import ConflictError, said_by_openiap
from worker.management.paging import Direction, PaginatedResponse, PaginationParams
from worker.management.queues.errors import BreakerNotFoundError, QueueForbiddenError
from worker.management.queues.store import QueueStore
from worker.management.queues.types import MOST_NAME, MOST_REASON
from worker.openiap.client import Client
from worker.openiap.fields import id_of, text_of
from worker.openiap.workitem import JsonObject

TRIES: Final = 5
"""Of a change, while workers change the same."""
To = Literal["open", "close", "auto"]
SortBy = Literal["queue", "name", "state", "since"]
FORCED: Final[dict[To, Forced]] = {"open": "open", "close": "closed", "auto": ""}


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BreakersGetListPayload(_Asked):
    """Breakers by name, by queue, or all."""

    name: str | None = Field(default=None, max_length=MOST_NAME)
    queue: str | None = Field(default=None, max_length=MOST_NAME)


class BreakersGetPListPayload(PaginationParams[BreakersGetListPayload, SortBy]):
    """A page of breakers."""

    filter: BreakersGetListPayload = BreakersGetListPayload()
    sort_by: SortBy = "queue"
    sort_direction: Direction = "asc"


class BreakerChange(_Asked):
    """What a breaker is to be: open, or closed, whatever happens; or what it is by itself.

    Attributes:
        queue: for this one alone; without it for all that need the breaker.
        reason: for those who look.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"to": "open", "reason": "the bank is shut"}]},
    )

    to: To
    queue: str | None = Field(default=None, max_length=MOST_NAME)
    reason: str = Field(default="", max_length=MOST_REASON)


class BreakerUpdatePayload(BreakerChange):
    """A breaker that is to be so."""

    name: str = Field(max_length=MOST_NAME)


class BreakerResponse(BaseModel):
    """How a breaker stands for one queue.

    Attributes:
        stands: what is popped: everything, one item that tries, or nothing.
        forced: by hand; None where it is what it is by itself.
        since, until: of its state; the pause is that of last time, in seconds.
        by: the worker or the user that changed it last, and why.
    """

    name: str
    queue: str
    stands: Stands
    state: Literal["closed", "open", "probing"]
    forced: Literal["open", "closed"] | None
    since: datetime | None
    until: datetime | None
    pause: float
    by: str
    why: str


class Breakers:
    """What operators do with breakers, with the rights of a client's user.

    Args:
        client: signed in.
    """

    def __init__(self, client: Client) -> None:
        self._store = QueueStore(client)

    async def get_list(self, payload: BreakersGetListPayload) -> list[BreakerResponse]:
        """Return the breakers that workers have brought, for each queue that needs them."""
        with said_by_openiap():
            documents = await self._store.get_list()
        return breakers_of(documents, datetime.now(UTC), payload.name, payload.queue)

    async def get_plist(
        self, payload: BreakersGetPListPayload
    ) -> PaginatedResponse[BreakerResponse]:
        """Return a page of breakers, and how many there are."""
        found = await self.get_list(payload.filter)
        backwards = payload.sort_direction == "desc"
        found.sort(key=lambda one: _rank(one, payload.sort_by), reverse=backwards)
        return PaginatedResponse(
            items=found[payload.offset : payload.offset + payload.limit],
            total=len(found),
            limit=payload.limit,
            offset=payload.offset,
        )

    async def update_one(self, payload: BreakerUpdatePayload) -> list[BreakerResponse]:
        """Force a breaker, or leave it to itself; returns how it stands for each queue.

        Raises:
            BreakerNotFoundError: no worker has brought it, or none that this user may see.
            QueueForbiddenError: this user may not update a queue; the others are done.
            ConflictError: workers change it all the time.
        """
        done: list[BreakerResponse] = []
        refused = ""
        with said_by_openiap():
            found = await self._found(payload.name, payload.queue)
            if not found:
                raise await self._not_found(payload)
            for document, _, _ in found:
                queue = text_of(document.get("name"))
                circuit = await self._forced(document, payload)
                if circuit is None:
                    refused = queue
                else:
                    done.append(_response(payload.name, queue, circuit, datetime.now(UTC)))
        if refused:
            raise QueueForbiddenError(refused, f"changed in its breaker {payload.name}", "update")
        return done

    async def _forced(self, document: JsonObject, payload: BreakerUpdatePayload) -> Circuit | None:
        """Write it; None without the right to."""
        user, id = self._store.client.user, id_of(document)
        by = "" if user is None else user.username or user.name
        for _ in range(TRIES):
            before = circuits_of(document).get(payload.name, Circuit())
            circuit = before.force(
                FORCED[payload.to], datetime.now(UTC), why=payload.reason.strip(), by=by
            )
            done = await write_circuit(self._store.client, id, payload.name, before.number, circuit)
            if done != "changed":
                return circuit if done == "done" else None
            document = await self._store.get_one(text_of(document.get("name"))) or document
        raise ConflictError(f"Breaker {payload.name} is being changed by workers; try again.")

    async def _found(
        self, name: str | None, queue: str | None
    ) -> list[tuple[JsonObject, str, Circuit]]:
        return _circuits(await self._store.get_list(), name, queue)

    async def _not_found(self, payload: BreakerUpdatePayload) -> BreakerNotFoundError:
        names = sorted({name for _, name, _ in await self._found(None, payload.queue)})
        return BreakerNotFoundError(payload.name, payload.queue, names)


def breakers_of(
    documents: Iterable[JsonObject],
    now: datetime,
    name: str | None = None,
    queue: str | None = None,
) -> list[BreakerResponse]:
    """Return the breakers that stand in queues' documents: all, or those of a name or a queue."""
    return [
        _response(called, text_of(document.get("name")), circuit, now)
        for document, called, circuit in _circuits(documents, name, queue)
    ]


def _circuits(
    queues: Iterable[JsonObject], name: str | None, queue: str | None
) -> list[tuple[JsonObject, str, Circuit]]:
    documents: dict[str, JsonObject] = {}
    for document in queues:
        documents.setdefault(text_of(document.get("name")), document)
    return [
        (document, called, circuit)
        for document in sorted(documents.values(), key=lambda one: text_of(one.get("name")))
        for called, circuit in sorted(circuits_of(document).items())
        if name in (None, called) and queue in (None, text_of(document.get("name")))
    ]


def _rank(breaker: BreakerResponse, sort_by: SortBy) -> tuple[str, str, str]:
    since = "" if breaker.since is None else breaker.since.isoformat()
    first = since if sort_by == "since" else str(getattr(breaker, sort_by))
    return first, breaker.queue, breaker.name


def _response(name: str, queue: str, circuit: Circuit, now: datetime) -> BreakerResponse:
    return BreakerResponse(
        name=name,
        queue=queue,
        stands=circuit.stands(now),
        state=circuit.state,
        forced=circuit.forced or None,
        since=circuit.since,
        until=circuit.until,
        pause=circuit.pause,
        by=circuit.by,
        why=circuit.why,
    )
