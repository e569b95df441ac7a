"""Deleting an item with all its files.

OpenIAP deletes the files that were stored for the item, those with its id in their metadata. A file
that was uploaded before its item was pushed names none, and would stay until the queue is purged.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, DocumentNotFound, ItemNotFound, ServerError
from worker.openiap.workitem import JsonObject

FILES: Final = "fs.files"


async def delete_with_files(client: Client, item: JsonObject) -> bool:
    """Delete an item and its files, and say whether the item was there.

    Args:
        client: signed in.
        item: its document, with ``_id`` and, if it has any, ``files``.

    Raises:
        OpenIAPError: the server refuses, or the link broke; some files may be left then.
    """
    try:
        await client.delete_workitem(str(item["_id"]))
        was_there = True
    except ItemNotFound:  # somebody else was faster, which is as good
        was_there = False
    await delete_files(client, file_ids(item.get("files")))
    return was_there


async def delete_files(client: Client, ids: Sequence[str]) -> None:
    """Delete what is left of these files of an item that is gone.

    Raises:
        OpenIAPError: the link broke.
    """
    for id in ids:
        with suppress(AccessDenied, DocumentNotFound, ServerError):  # gone with its item
            await client.delete_one(FILES, id)


def file_ids(files: Any) -> Sequence[str]:
    """Return the ids of an item's files, out of its document."""
    if not isinstance(files, list):
        return []
    return [str(one["_id"]) for one in files if isinstance(one, dict) and one.get("_id")]
