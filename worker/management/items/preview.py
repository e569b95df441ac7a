"""What a change of many items would do: how many there are, some of them, and the attempts that
those would have that are put back."""

from typing import Final

from worker.management.items.actions import attempts_left
from worker.management.items.batch import Batch
from worker.management.items.store import ItemStore
from worker.management.items.types import BatchPreviewResponse
from worker.management.items.views import item_of
from worker.openiap.fields import text_of
from worker.openiap.workitem import PROCESSING

SAMPLE: Final = 5


async def preview_of(
    store: ItemStore, batch: Batch, *, retries: bool, cancels: bool
) -> BatchPreviewResponse:
    """Look at all that a change would meet, page by page.

    Args:
        retries: whether it puts items back.
        cancels: whether it ends those that run.

    Raises:
        OpenIAPError: the link broke.
    """
    most = await store.get_attempts() if retries else {}
    preview = BatchPreviewResponse(
        count=0, sample=[], conditional=batch.response.conditional, before=batch.response.before
    )
    async for page in batch.pages():
        preview.count += len(page)
        preview.sample += [item_of(one) for one in page[: SAMPLE - len(preview.sample)]]
        if cancels:
            preview.running += sum(one.get("state") == PROCESSING for one in page)
        for one in page if retries else ():
            left = attempts_left(one, most.get(text_of(one.get("wiq"))))
            preview.attempts_left[left] = preview.attempts_left.get(left, 0) + 1
    return preview
