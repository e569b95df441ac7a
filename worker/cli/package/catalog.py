"""What is published: the documents in ``agents`` that a user sees, and their end.

Nothing keeps two users from publishing packages of one name, neither of whom sees the other's
(server.md, Rights); whoever sees both, an agent perhaps, could take either. So documents are told
apart by their own ids, and by who made them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.cli.package.errors import PackageError
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, OpenIAPError
from worker.openiap.workitem import JsonObject

COLLECTION: Final = "agents"
DELETE: Final = "deletepackage"
MOST: Final = 1_000


async def packages(client: Client, name: str = "") -> list[JsonObject]:
    """Return the packages that this user sees, by name, the oldest of each first.

    Raises:
        OpenIAPError: the server refused or did not answer.
    """
    query = {"_type": "package", **({"id": name} if name else {})}
    return await client.query(COLLECTION, query, orderby={"id": 1, "_created": 1}, top=MOST)


def chosen(found: Sequence[JsonObject], wanted: str) -> JsonObject:
    """Return the one package that is meant.

    Args:
        found: what there is.
        wanted: a document's id, or a name that only one document has.

    Raises:
        PackageError: there is none, or more than one of that name.
    """
    by_id = [one for one in found if one.get("_id") == wanted]
    matching = by_id or [one for one in found if one.get("id") == wanted]
    if not matching:
        raise PackageError(f"No package {wanted!r} is published, or none that you may see.")
    if len(matching) > 1:
        raise PackageError(several(wanted, matching))
    return matching[0]


async def delete(client: Client, document: Mapping[str, Any]) -> None:
    """Delete a package's document and its archive, by OpenIAP's own command for it.

    Raises:
        PackageError: this user may not, or it is gone.
        OpenIAPError: the server did not answer.
    """
    id = str(document["_id"])
    try:
        await client.custom_command(DELETE, id=id)
    except AccessDenied as error:
        raise PackageError(f"{told(document)} cannot be deleted: {error.text}.") from error
    if await client.count(COLLECTION, {"_id": id}):
        raise PackageError(f"{told(document)} is still there: this OpenIAP did not delete it.")


async def delete_archive(client: Client, fileid: str) -> bool:
    """Delete an archive to which nothing points; whether that was possible."""
    try:
        await client.delete_one("fs.files", fileid)
    except OpenIAPError:
        return False
    return True


def told(document: Mapping[str, Any]) -> str:
    """Return a package in words: name, version, document, who made it."""
    return (
        f"{document.get('id')} {document.get('version')} (document {document.get('_id')}, made by"
        f" {document.get('_createdby')}, changed {document.get('_modified')})"
    )


def several(name: str, found: Sequence[Mapping[str, Any]]) -> str:
    """Return the sentence that says that one name stands for several packages."""
    return (
        f"The collection {COLLECTION} has several packages with the id {name!r}, and an agent that"
        f" sees them could take either: {'; '.join(map(told, found))}. Delete all but one first"
        " (openiap-worker package delete DOCUMENT), or publish under another name (--name)."
    )
