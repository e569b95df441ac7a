"""Cells: small pieces of state that all workers share, changed by one of them at a time.

1. A version of a cell is a document of its own in ``openiap_worker_state``; its ``_id`` ends in the
   version's number. The cell is what its highest number says.
2. A change is the insertion of the next number. An ``_id`` that is taken is refused in one atomic
   step, by MongoDB and for both clients, so of several who saw the same version exactly one
   succeeds, and the others know.
3. Nothing is ever overwritten: whatever comes late or twice finds its number taken.
4. A removal is a version, too: who removes and who changes at the same time cannot both succeed.
5. What has been superseded, or removed, is deleted after ``KEPT`` by
   ``worker.engine.maintenance.sweep``.
6. A cell whose end is known when it is made may say when its documents are to go: ``KEPT`` after
   that end, no version before an older one. A database with an index for it deletes them itself.

``updatedocument`` would be a conditional write as well, but only the native client has it, and two
mechanisms side by side would not exclude each other in a fleet that has both.

No two machines' clocks are compared. A process that was frozen between seeing a version and
changing it looks again when that took longer than ``LATE``, so it never builds on a number that was
swept meanwhile; for that it would have to freeze for more than ``KEPT`` while its message is on the
way, and even then it learns it from the reply and takes its document away again. The server's clock
decides what is older than ``KEPT``: should it jump ahead by hours, the sweep comes early, which
matters only to a change that is on its way in that moment. Who deletes documents of a cell by hand
sets it back to the highest number that is left; with none left it is as if it never was.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, DuplicateKey, OpenIAPError, ServerError
from worker.openiap.fields import id_of, moment_of, object_of, objects_of, text_of
from worker.openiap.reader import Reader
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject
from worker.state.retrying import PATIENCE, tried
from worker.uptime import uptime

COLLECTION: Final = "openiap_worker_state"
TYPE: Final = "cell"
MAX_ID: Final = 200
"""Bytes of an id without its number; a longer one ends in a hash of the name."""
DIGITS: Final = 10
KEPT: Final = 3 * 3600.0
"""Seconds for which superseded and removed versions stay."""
LATE: Final = 1800.0
"""Seconds after which a version is looked at again before something is built on it."""
TRIES: Final = 5
PAGE: Final = 100
EXPIRES: Final = "expires"
"""The field that says when a document may go; see ``sweep.py`` for the index over it."""
STORED: Final[JsonObject] = {"token": 1, "_created": 1}
FIELDS: Final[JsonObject] = {
    **STORED,
    "kind": 1,
    "name": 1,
    "content": 1,
    "removed": 1,
    EXPIRES: 1,
    "_acl": 1,
}
"""What ``version_of`` reads, so that whatever else stands in a document does not travel."""
MOST_PAGES: Final = 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Version:
    """A cell as it was seen or made.

    Attributes:
        id: the cell's id, without the number.
        number: 1 for the first version.
        token: random; names this version beyond any doubt.
        removed: there is no cell since this version.
        stamped: when the server stored it, in the server's time.
        acl: who may see the cell; () is OpenIAP's default, the user that made it.
        expires: when the database may delete this version by itself, in the server's time.
        seen: when this process saw it, by ``uptime``.
    """

    kind: str
    name: str
    id: str
    number: int
    token: str
    content: JsonObject
    removed: bool = False
    stamped: datetime | None = None
    acl: tuple[JsonObject, ...] = field(default=(), repr=False)
    expires: datetime | None = None
    seen: float = field(default=0.0, repr=False)


class Cells:
    """The cells of one namespace, over any client.

    Args:
        client: a plain one, or the worker's own, which waits for a link and for its turn.
        namespace: keeps environments on one OpenIAP apart; see the setting of that name.
        patience: seconds for which a call is tried again while the link is away.
        timeout: seconds for one try of a call; None is the client's own.
        clock: ``uptime``; another in tests.
        rights: who may see cells that are made here without rights of their own.
    """

    def __init__(
        self,
        client: Client,
        namespace: str = "",
        *,
        patience: float = PATIENCE,
        timeout: float | None = None,
        clock: Callable[[], float] = uptime,
        rights: Callable[[], Sequence[JsonObject]] = tuple,
    ) -> None:
        self._client = client
        self._reader = Reader(client, "cell", timeout=timeout)
        self.namespace: Final = namespace
        self._patience = patience
        self._timeout = timeout
        self._clock = clock
        self._rights = rights

    def now(self) -> float:
        """Return the time that ``Version.seen`` is of."""
        return self._clock()

    async def tip(self, kind: str, name: str) -> Version | None:
        """Return the newest version, be it a removal; None where there never was one, or none is
        left.

        Raises:
            OpenIAPError: it cannot be read.
        """
        id = cell_id(self.namespace, kind, name)
        numbers, top = numbers_of(id), 1
        for _ in range(MOST_PAGES):
            page = await self._tried(partial(self._newest, id, numbers, top))
            for document in page:
                version = version_of(document)
                if version is not None:
                    return replace(version, kind=kind, name=name, seen=self._clock())
            if len(page) < top:
                return None
            # Somebody's that are no versions, and stand between them.
            numbers, top = {"$gte": numbers["$gte"], "$lt": page[-1]["_id"]}, PAGE
        raise ServerError(f"the cell {id} is buried in documents that are none", operation="query")

    async def _newest(self, id: str, numbers: JsonObject, top: int) -> list[JsonObject]:
        # One that is too large has a number as well, and nothing else.
        return await self._reader.query(
            COLLECTION, {"_id": numbers}, FIELDS, {"_id": -1}, top=top, about=id
        )

    async def read(self, kind: str, name: str) -> Version | None:
        """Return the cell, or None when there is none (any more).

        Raises:
            OpenIAPError: it cannot be read.
        """
        found = await self.tip(kind, name)
        return None if found is None or found.removed else found

    async def create(
        self,
        kind: str,
        name: str,
        content: Mapping[str, Any],
        *,
        acl: Sequence[JsonObject] = (),
        expires: datetime | None = None,
        since: float | None = None,
    ) -> Version | None:
        """Make a cell, in one message where there never was one; None when it exists.

        Args:
            acl: who may see it, as OpenIAP writes rights; () leaves it to ``rights``, and without
                those to the user that makes it.
            expires: when the database may delete it by itself; see 6 above.
            since: for a kind that expires: when (``now``) this process saw that there is none. Its
                first version, which else stays as the sign that there is a cell, may go before
                later ones.

        Raises:
            AccessDenied: it exists, and this user may not see it.
            OpenIAPError: no answer for ``patience`` seconds, or a refusal; it may exist by now.
        """
        allowed = tuple(acl or self._rights())
        first = Version(kind, name, cell_id(self.namespace, kind, name), 0, "", {}, acl=allowed)
        for _ in range(TRIES):
            made = await self._add(first, content, expires=expires)
            if made is not None:
                return made if since is None else await self._if_not_late(made, since)
            found = await self.tip(kind, name)
            if found is None:
                continue  # swept in between
            return await self.replace(found, content, expires) if found.removed else None
        raise AccessDenied(
            f"the cell {first.id} exists, but this user may not read it in {COLLECTION}: workers"
            " that share state sign in as one user, or share a role that has the rights",
            operation="insert_one",
        )

    async def _if_not_late(self, made: Version, since: float) -> Version | None:
        """Take a first version away again that came so late that its number had been free for long
        beside later ones."""
        if self._clock() - since <= LATE:
            return made
        newest = await self.tip(made.kind, made.name)
        if newest is None or newest.token == made.token:
            return made
        await self._tried(lambda: self._client.delete_one(COLLECTION, document_id(made)))
        return None

    async def replace(
        self, version: Version, content: Mapping[str, Any], expires: datetime | None = None
    ) -> Version | None:
        """Change a cell, or make it again after its removal; one message.

        Args:
            expires: as for ``create``; where the version before stays, so does this one.

        Returns:
            The new version; None when it is another's by now.

        Raises:
            OpenIAPError: no answer for ``patience`` seconds, or a refusal; it may be done.
        """
        return await self._follow(version, content, removed=False, expires=expires)

    async def remove(self, version: Version, expires: datetime | None = None) -> bool:
        """Remove a cell; whether it was still what ``version`` says. One message.

        Raises:
            OpenIAPError: no answer for ``patience`` seconds, or a refusal; it may be done.
        """
        return await self._follow(version, {}, removed=True, expires=expires) is not None

    async def _follow(
        self,
        version: Version,
        content: Mapping[str, Any],
        *,
        removed: bool,
        expires: datetime | None,
    ) -> Version | None:
        if self._clock() - version.seen > LATE:
            found = await self.tip(version.kind, version.name)
            if found is None or found.token != version.token:
                return None
            version = found
        if expires is not None:
            # No older version may be left when this one goes: it would be the newest again.
            expires = None if version.expires is None else max(expires, version.expires)
        made = await self._add(version, content, removed=removed, expires=expires)
        if made is None or self._clock() - version.seen <= LATE:
            return made
        # Frozen with the message on its way: its number may have been swept and not free at all.
        await self._tried(lambda: self._client.delete_one(COLLECTION, document_id(made)))
        return None

    async def _add(
        self,
        before: Version,
        content: Mapping[str, Any],
        *,
        removed: bool = False,
        expires: datetime | None = None,
    ) -> Version | None:
        """Insert the version after another; None when its number is taken."""
        if before.number + 1 >= 10**DIGITS:
            raise ServerError(
                f"the cell {before.id} has no number left: somebody else made the document"
                f" {document_id(before)} in {COLLECTION}; delete it",
                operation="insert_one",
            )
        after = replace(
            before,
            number=before.number + 1,
            token=secrets.token_hex(12),
            content=dict(content),
            removed=removed,
            expires=expires,
        )
        document = self.document(after)
        doubtful = False

        async def insert() -> JsonObject | None:
            nonlocal doubtful
            try:
                return await self._client.insert_one(COLLECTION, document, timeout=self._timeout)
            except DuplicateKey:
                return await self._ours(document) if doubtful else None
            except OpenIAPError as error:
                doubtful = doubtful or error.maybe_done
                raise

        stored = await self._tried(insert)
        if stored is None:
            return None
        stamped = moment_of(stored.get("_created"))
        return replace(after, stamped=stamped, seen=self._clock())

    async def _ours(self, document: JsonObject) -> JsonObject | None:
        """Return the stored document if an earlier try of ours stored it."""
        query = {"_id": document["_id"]}
        found = await self._reader.query(COLLECTION, query, STORED, top=1, about="ours")
        return found[0] if found and found[0].get("token") == document["token"] else None

    async def _tried(self, call: Callable[[], Awaitable[T]]) -> T:
        return await tried(call, patience=self._patience)

    def document(self, version: Version) -> JsonObject:
        """Return how a version is stored."""
        document: JsonObject = {
            "_id": document_id(version),
            "_type": TYPE,
            "name": version.name,
            "kind": version.kind,
            "namespace": self.namespace,
            "cell": version.id,
            "number": version.number,
            "token": version.token,
            "removed": version.removed,
            "content": version.content,
        }
        if version.expires is not None:
            document[EXPIRES] = iso(version.expires)
        if version.acl:
            document["_acl"] = list(version.acl)
        return document


def version_of(document: Mapping[str, Any]) -> Version | None:
    """Read a stored version; None for a document that is none.

    Its ``_id`` alone says which cell it is, and which version: that is what is taken. Whatever else
    does not fit counts as not there.
    """
    cell, _, digits = id_of(document).rpartition("#")
    if not cell or len(digits) != DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    return Version(
        kind=text_of(document.get("kind")),
        name=text_of(document.get("name")),
        id=cell,
        number=int(digits),
        token=text_of(document.get("token")),
        content=object_of(document.get("content")),
        removed=document.get("removed") is True,
        stamped=moment_of(document.get("_created")),
        acl=tuple(objects_of(document.get("_acl"))),
        expires=moment_of(document.get(EXPIRES)),
    )


def cell_id(namespace: str, kind: str, name: str) -> str:
    """Return a cell's id: ``<namespace>/<kind>/<name>``.

    ``#`` parts the number from it, so a name's own is written otherwise; a name that is too long
    is its SHA-256 instead (the document keeps it whole).
    """
    id = plain_id(namespace, kind, name)
    if len(id.encode("utf-8", "surrogatepass")) <= MAX_ID:
        return id
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{namespace}/{kind}/sha256:{digest}"


def plain_id(namespace: str, kind: str, name: str) -> str:
    """Return the id of a cell whose name is not too long."""
    return f"{namespace}/{kind}/{name.replace('%', '%25').replace('#', '%23')}"


def document_id(version: Version) -> str:
    """Return the ``_id`` of a version's document."""
    return f"{version.id}#{version.number:0{DIGITS}}"


def numbers_of(id: str) -> JsonObject:
    """Return what the ``_id`` of each version of a cell fulfils."""
    return {"$gte": f"{id}#{'0' * DIGITS}", "$lte": f"{id}#{'9' * DIGITS}"}
