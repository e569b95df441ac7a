"""Writing a document of one's own id, whether it is there or not.

``insertorupdateone`` cannot do that: where there is no such document yet, OpenIAP drops the ``_id``
and makes one up (openflow 1.5.10.62, ``DatabaseConnection._InsertOrUpdateOne``), so the next write
would not find it and add another.
"""

from collections.abc import Sequence

from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, DocumentNotFound, DuplicateKey
from worker.openiap.workitem import JsonObject


async def upsert(
    client: Client, collection: str, document: JsonObject, *, acl: Sequence[JsonObject] = ()
) -> JsonObject:
    """Replace the document of this ``_id``, or insert it; returns it as stored.

    Args:
        document: with ``_id``, without ``_acl``: a stored one keeps its rights.
        acl: the rights of a new one; () leaves it to its user and the administrators.

    Raises:
        AccessDenied: it is there, and this user may not change it.
    """
    try:
        return await client.update_one(collection, document)
    except DocumentNotFound as missing:
        refusal = missing
    new = {**document, "_acl": list(acl)} if acl else document
    try:
        return await client.insert_one(collection, new)
    except DuplicateKey:
        pass
    try:
        return await client.update_one(collection, document)  # another wrote it in this moment
    except DocumentNotFound:
        raise AccessDenied(refusal.text, operation=refusal.operation) from None
