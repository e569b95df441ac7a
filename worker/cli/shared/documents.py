"""Documents read: page by page, or one of them."""

from typing import Final

from worker.cli.shared.output import to_stderr
from worker.openiap.client import Client
from worker.openiap.fields import Misfit
from worker.openiap.reader import Reader, is_bare
from worker.openiap.workitem import JsonObject

PAGE: Final = 500
"""A server gives no more than this to a query that names no limit (server.md, Documents)."""


async def pages(
    client: Client,
    collection: str,
    query: JsonObject,
    projection: JsonObject | None = None,
    orderby: JsonObject | None = None,
    *,
    limit: int | None = None,
) -> list[JsonObject]:
    """Return all documents that match, or the first ``limit``; the order should be a total one."""
    found: list[JsonObject] = []
    large: list[Misfit] = []
    reader = Reader(client, "document", large.append, large=True)
    while True:
        top = PAGE if limit is None else min(PAGE, limit - len(found))
        page = await reader.query(collection, query, projection, orderby, skip=len(found), top=top)
        found += page
        if len(page) < top or len(found) == limit:
            break
    for misfit in large:
        to_stderr().print(f"{misfit.id} of {collection} is left out: {misfit.why}.", style="yellow")
    return [one for one in found if not large or not is_bare(one)]


async def first(client: Client, collection: str, query: JsonObject) -> JsonObject | None:
    """Return a document that matches, or None."""
    found = await client.query(collection, query, top=1)
    return found[0] if found else None
