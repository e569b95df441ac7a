"""Changes of many items, begun from a page: jobs of the user as the API has them, which go on when
the page is closed and end with the user's last session."""

from worker.console.live.services import Services
from worker.console.visits import Visit
from worker.management.api.jobs import JobResponse
from worker.management.errors import said_by_openiap
from worker.management.items.types import (
    BatchPayload,
    ItemsCancelBatchPayload,
    ItemsDeleteBatchPayload,
    ItemsMoveBatchPayload,
    ItemsRetryBatchPayload,
)


async def start_batch(visit: Visit, payload: BatchPayload) -> JobResponse | None:
    """Begin one; None where it was refused, which the page says then."""
    what = name_of(payload)

    async def begin(_: Services) -> JobResponse:
        api, key = visit.api, visit.session.key
        api.jobs.require_room(key)
        # A client of its own: what it asks is the user's own doing and takes no turns.
        services = Services(await api.links.client(api.links.of(key)), api)
        batch = await services.items.plan_batch(payload)
        with said_by_openiap():
            total = await batch.count()
        return api.jobs.start(key, what, batch.response, batch.run, total)

    return await visit.do(
        f"{what} items: {payload.filter.model_dump(exclude_defaults=True)}", begin
    )


def name_of(payload: BatchPayload) -> str:
    """Return what a batch does, in the API's word."""
    if isinstance(payload, ItemsRetryBatchPayload):
        return "retry"
    if isinstance(payload, ItemsCancelBatchPayload):
        return "cancel"
    if isinstance(payload, ItemsDeleteBatchPayload):
        return "delete"
    return "move" if isinstance(payload, ItemsMoveBatchPayload) else "update"
