"""Publishing: the archive into ``fs.files``, and one document in the collection ``agents``.

1. What is there already is looked at first: the same package twice in a row changes nothing.
2. The archive is uploaded, fetched again and compared before the document points at it, so an agent
   never gets half a package.
3. A package of that name that belongs to others is theirs: this ends without a trace.
4. The former archive stays stored: agents that run it can start it again, and going back is one
   change of the document.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from worker.cli.package.build import Built
from worker.cli.package.catalog import COLLECTION, delete_archive, packages, several, told
from worker.cli.package.errors import PackageError
from worker.cli.package.manifest import agents_document, differences
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, FileTransferError
from worker.openiap.workitem import JsonObject

FILES: Final = "fs.files"
MIME: Final = "application/gzip"


@dataclass(frozen=True, slots=True)
class Existing:
    """What is published under the package's name.

    Attributes:
        document: as the server has it; {} when there is none.
        sha256: of the archive that it points at; "" when that cannot be had.
    """

    document: JsonObject
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """What ``publish`` did.

    Attributes:
        fileid: the archive's id.
        changed: False when all of it was there already.
        uploaded: whether the archive was sent.
        replaced: the changed keys of the document, each with its old and new value.
        warning: what the person who publishes should know, or "".
    """

    fileid: str
    changed: bool
    uploaded: bool
    replaced: Mapping[str, tuple[Any, Any]]
    warning: str = ""


async def existing(client: Client, name: str) -> Existing:
    """Return what is published under a name.

    Raises:
        PackageError: more than one document has it; the text names them.
        OpenIAPError: the server refused or did not answer.
    """
    found = await packages(client, name)
    if len(found) > 1:
        raise PackageError(several(name, found))
    if not found:
        return Existing({})
    return Existing(found[0], await _stored_hash(client, str(found[0].get("fileid") or "")))


async def publish(client: Client, built: Built, before: Existing) -> Published:
    """Make a package the published one.

    Args:
        before: what ``existing`` returned for the package's name.

    Raises:
        PackageError: what the server stored is not what was sent, or the package is one of others
            that this user may not change; nothing points at what was sent.
        OpenIAPError: the server refused or did not answer.
    """
    old = before.document
    same = before.sha256 == built.sha256
    fileid = str(old["fileid"]) if same else await _upload(client, built)
    new = agents_document(built.manifest, fileid)
    changes = differences(old, new)
    if same and not changes:
        return Published(fileid, changed=False, uploaded=False, replaced={})
    if old:
        await _replace(client, old, new, archive="" if same else fileid)
        return Published(fileid, True, not same, changes, _warning(old, built, same))
    await client.insert_one(COLLECTION, new)
    # Somebody who publishes the same name at the same moment saw none, either.
    found = await packages(client, built.manifest.name)
    warning = several(built.manifest.name, found) if len(found) > 1 else ""
    return Published(fileid, True, not same, changes, warning)


async def _replace(
    client: Client, old: JsonObject, new: Mapping[str, Any], *, archive: str
) -> None:
    """Write the new document over the old one.

    Args:
        archive: what was uploaded for it, which goes when the document may not be changed.
    """
    try:
        await client.update_one(COLLECTION, {**old, **new})
    except AccessDenied as error:
        gone = not archive or await delete_archive(client, archive)
        rest = "" if gone else f" The archive that was sent stays stored (file {archive})."
        raise PackageError(
            f"{told(old)} is published, and you may not change it: {error.text}. Have its owner"
            " give you the rights to read, update and delete it, or publish under another name."
            f"{rest}"
        ) from error


def _warning(old: Mapping[str, Any], built: Built, same: bool) -> str:
    if not old or same or old.get("version") != built.manifest.version:
        return ""
    return (
        f"The content changed and the version is still {built.manifest.version}: nobody can tell"
        " which of the two an agent runs; raise the version next time."
    )


async def _upload(client: Client, built: Built) -> str:
    with TemporaryDirectory(prefix="openiap-package-") as folder:
        path = Path(folder) / built.manifest.archive_name
        path.write_bytes(built.archive)
        fileid = await client.upload(path, filename=path.name, mimetype=MIME, collectionname=FILES)
    stored = await _stored_hash(client, fileid)
    if stored != built.sha256:
        raise PackageError(
            f"The server stored another archive than was sent (file {fileid}); nothing was"
            " changed. Publish again."
        )
    return fileid


async def _stored_hash(client: Client, fileid: str) -> str:
    if not fileid:
        return ""
    with TemporaryDirectory(prefix="openiap-package-") as folder:
        try:
            path = await client.download(fileid, folder, filename="package.tgz")
        except FileTransferError:
            return ""  # deleted meanwhile: then it is not the same, and a new one is sent
        return hashlib.sha256(path.read_bytes()).hexdigest()
