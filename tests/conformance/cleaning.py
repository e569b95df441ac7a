"""Removes what a run made, by its prefix and nothing else.

1. Queues with their items and their files; the role that a queue brought along goes with it.
2. Documents of this suite, presence of its workers, packages, files, collections.
3. Their history, where the server keeps one.

It needs nothing but the prefix, so it works after a crash, too. What cannot be removed is told.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from tests.conformance.ground import COLLECTION
from tests.conformance.pace import Pace, paced
from tests.conformance.sites import CALL, Lane, Login, Site
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError
from worker.openiap.workitem import JsonObject

FIRST_WORD: Final = "conform-"
PREFIX: Final = re.compile(rf"{FIRST_WORD}[0-9a-z-]*")
SUFFIX: Final = "_hist"
ONE_BY_ONE: Final = ("fs.files", "agents")
"""Each by itself: files of items are refused, packages have a command of their own."""
MOST: Final = 500
"""Documents at a time."""


def checked_prefix(text: str) -> str:
    """Return a prefix that is one of this suite's.

    Raises:
        ValueError: it is not: nothing else is ever removed.
    """
    if not PREFIX.fullmatch(text):
        raise ValueError(
            f"the prefix {text!r} is none of this suite's: they begin with {FIRST_WORD!r}, and have"
            " small letters, digits and dashes"
        )
    return text


async def clean(site: Site, prefix: str) -> list[str]:
    """Remove everything of a prefix, as each user that is known; returns what is left, and why.

    Args:
        prefix: of one run, or ``conform-`` for all of them.
    """
    checked_prefix(prefix)
    left: list[str] = []
    for login in (site.first, site.second):
        if login is not None:
            async with _signed_in(site, login) as client:
                # Whoever comes last has seen what the other could not remove.
                left = await _clean(client, prefix)
    return left


@asynccontextmanager
async def _signed_in(site: Site, login: Login) -> AsyncIterator[Client]:
    client = site.client(Lane("native", site.urls[0]), login)
    try:
        await client.connect(timeout=CALL)
        yield paced(client, Pace(site.pace))
    finally:
        await client.disconnect()


async def _clean(client: Client, prefix: str) -> list[str]:
    starts = {"$regex": f"^{re.escape(prefix)}"}
    left = await _queues(client, starts)
    for collection, query in (
        ("workitems", {"wiq": starts}),
        ("agents", {"_type": "package", "id": starts}),
        ("fs.files", {"$or": [{"metadata.wiq": starts}, {"filename": starts}]}),
        (COLLECTION, {"run": starts}),
        ("openiap_workers", {"_id": starts}),
        ("openiap_worker_state", {"namespace": starts}),
    ):
        left += await _documents(client, collection, query)
    for collection in (COLLECTION, "openiap_workers", "agents"):
        left += await _history(client, collection + SUFFIX, starts)
    return left + await _collections(client, prefix)


async def _queues(client: Client, starts: JsonObject) -> list[str]:
    left: list[tuple[str, str]] = []
    while True:
        query = {"_type": "workitemqueue", "name": starts, "_id": {"$nin": [n for n, _ in left]}}
        found = await client.query("mq", query, {"name": 1}, top=MOST)
        if not found:
            return [text for _, text in left]
        for queue in found:
            try:
                await client.delete_workitem_queue(wiqid=queue["_id"], purge=True)
            except OpenIAPError as error:
                left.append((queue["_id"], f"the queue {queue['name']}: {error.text}"))


async def _documents(client: Client, collection: str, query: JsonObject) -> list[str]:
    left: list[tuple[str, str]] = []
    if collection not in ONE_BY_ONE:
        with suppress(OpenIAPError):  # what it leaves is told below, each with its reason
            await client.delete_many(collection, query)
    while True:
        others = {"$and": [query, {"_id": {"$nin": [id for id, _ in left]}}]}
        found = await client.query(collection, others, {"_id": 1}, top=MOST)
        if not found:
            return [text for _, text in left]
        for document in found:
            try:
                # One by one: it asks for the right to delete, and a file of an item is refused.
                if collection == "agents":
                    await client.custom_command("deletepackage", id=document["_id"])
                else:
                    await client.delete_one(collection, document["_id"])
            except OpenIAPError as error:
                left.append((document["_id"], f"{collection} {document['_id']}: {error.text}"))
                continue
            if await client.count(collection, {"_id": document["_id"]}):
                left.append((document["_id"], f"{collection} {document['_id']}: no right to"))


async def _history(client: Client, collection: str, starts: JsonObject) -> list[str]:
    """Remove what the server kept of documents that are gone; ``item`` is the document then."""
    query = {"$or": [{f"item.{key}": starts} for key in ("run", "_id", "id")]}
    try:
        await client.delete_many(collection, query)
    except OpenIAPError as error:
        return [f"{collection}: {error.text}"]
    return []


async def _collections(client: Client, prefix: str) -> list[str]:
    left = []
    for found in await client.list_collections(includehist=True):
        name = str(found.get("name"))
        if name.startswith(prefix.replace("-", "_")):
            try:
                await client.drop_collection(name)
            except OpenIAPError as error:
                left.append(f"the collection {name}: {error.text}")
    return left


def told(left: Sequence[str]) -> str:
    """Return what is left as a sentence, or ""."""
    return "" if not left else f"Could not be removed: {'; '.join(left)}."
