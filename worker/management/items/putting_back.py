"""One item back to new by an operator, in one step that meets it as it was seen."""

from datetime import UTC, datetime

from worker.engine.delivery.carried import carried
from worker.engine.delivery.release import due_already
from worker.item.history import Entry, refused
from worker.management.items.actions import Change, Retry, as_seen, still
from worker.management.items.entries import Noted, entry_of
from worker.management.items.errors import ItemStateError
from worker.management.items.store import ItemStore, user_name
from worker.openiap.errors import AccessDenied, ServerError
from worker.openiap.fields import id_of, number
from worker.openiap.values import json_text
from worker.openiap.workitem import JsonObject


async def put_back(store: ItemStore, document: JsonObject, history: int) -> None:
    """Put an item back to new, whatever its queue's limit of attempts says; who worked it, if
    anybody did, is late then.

    Where this cannot be done on a condition, OpenIAP's own update does it.

    Args:
        document: the item, as it was seen.
        history: entries that its timeline keeps.

    Raises:
        ItemStateError: it was changed meanwhile.
        OpenIAPError: the server could not be reached, or refuses.
    """
    if await _in_one_step(store, document, history):
        return
    await store.retry_one(id_of(document), number(document.get("priority")))


async def _in_one_step(store: ItemStore, document: JsonObject, history: int) -> bool:
    if not store.client.capabilities.conditional_updates:
        return False
    action = Retry(due=datetime.now(UTC))
    made = action.change(document)
    # A time that is over by the server's clock, whatever this machine's says.
    change = Change({**made.set, "nextrun": due_already(document)}, made.unset)
    entry: Entry | None = entry_of(action, document, datetime.now(UTC), user_name(store.client))
    noted = Noted(id_of(document), change, entry, history)
    if not carried(json_text(noted.update())):
        return False
    try:
        done = await _changed(store, document, noted)
    except (AccessDenied, ServerError) as error:
        if error.maybe_done:
            raise
        return False
    if done:
        return True
    now = await store.get_one(id_of(document))
    if now is not None and not as_seen(document, now):
        raise ItemStateError(
            f"Item {id_of(document)} was changed in this moment: it is {now.get('state')} now.",
            {"state": str(now.get("state"))},
        )
    return False  # this user may not update it as a document


async def _changed(store: ItemStore, document: JsonObject, noted: Noted) -> bool:
    condition = still(document, to_the_moment=False)
    try:
        return await store.update_if(condition, noted.update())
    except ServerError as error:
        if not refused(error.text, id_of(document)):
            raise
    return await store.update_if(condition, noted.update(anew=True))
