"""The mailbox: the document where operators leave commands for one worker.

Everybody may write documents in OpenIAP, so a command counts only where the server itself checks
who may write it:

1. The worker makes the document, under an id drawn at random, for its own user, the administrators
   and the ``operators`` of its settings. It holds a seal that only they can read. A document of
   another id or without the seal, or whose list of rights names others, is nobody's: what stands in
   it counts for nothing. That its maker is this user proves nothing: OpenIAP lets the owner of a
   document change that by a conditional update.
2. Who gave a command is who replaced the document last, as the server stamps it. A conditional
   update may carry a stamp of its writer's own making (OpenIAP lets a pipeline pass unstamped), so
   of what the watch tells as one nobody is named; neither are the givers of several commands at
   once, but for the last. Where no watch tells, the stamp is taken as it is: those who could have
   written it may steer the worker.
3. Each command is handed on once in a life of the worker, and none whose time is over by the
   server's clock, or that would hold for longer than an hour.
4. It is watched where the server has watches and the watch has told of the document's making; else
   it is read with each heartbeat.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from worker.engine.fleet.command import MOST, Command, commands_of, is_over
from worker.engine.fleet.presence import COLLECTION as WORKERS
from worker.engine.fleet.presence import TYPE as WORKER
from worker.engine.fleet.presence import WorkerInfo
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, OpenIAPError
from worker.openiap.fields import (
    id_of,
    moment_of,
    object_of,
    text_of,
    whole,
)
from worker.openiap.pool import Pool
from worker.openiap.rights import RIGHTS
from worker.openiap.types import WatchEvent
from worker.openiap.values import iso
from worker.openiap.workitem import JsonObject
from worker.service import Service
from worker.telemetry.log import Log
from worker.uptime import uptime

COLLECTION: Final = "openiap_worker_mailboxes"
TYPE: Final = "mailbox"
ADMINS: Final = "5a1702fa245d9013697656fb"
"""The role of the administrators; its id is the same on every OpenIAP."""
FULL: Final = 65_535
STEERS: Final = sum(1 << RIGHTS.index(right) for right in ("read", "update"))
SELDOM: Final = 900.0
"""Seconds between two looks where a watch tells."""
MOST_OPERATORS: Final = 50
OPEN_TIMEOUT: Final = 5.0
GOODBYE_TIMEOUT: Final = 1.0
PAGE: Final = 500
AN_ID: Final = re.compile("[0-9a-f]{24}")
NOT_SEALED: Final = "it does not have the seal of the one that this worker made"


@dataclass(frozen=True, slots=True)
class Seal:
    """What tells a worker's own mailbox.

    Attributes:
        id: the document's.
        text: what stands in it, and what only those can know who may read it.
        allowed: the rights that its list may grant at most, by the ids of users and roles.
    """

    id: str
    text: str
    allowed: Mapping[str, int]


def refusal_of(document: Mapping[str, Any], seal: Seal) -> str:
    """Say why a mailbox's commands count for nothing; "" where they count. Pure."""
    if id_of(document) != seal.id:
        return "it is not the document that this worker made"
    shown = text_of(document.get("seal")).encode(errors="surrogatepass")
    if not secrets.compare_digest(shown, seal.text.encode()):
        return NOT_SEALED
    entries = document.get("_acl")
    if not isinstance(entries, list) or not entries:
        return "it has no list of rights"
    for entry in entries:
        given = object_of(entry)
        bits = whole(given.get("rights"))
        allowed = seal.allowed.get(text_of(given.get("_id")), 0)
        if bits is None or bits < 0 or bits & ~allowed:
            who = text_of(given.get("name")) or text_of(given.get("_id"))
            return f"its list of rights names {who[:100] or 'somebody else'}"
    return ""


class Mailbox(Service):
    """One worker's.

    Args:
        client: waits for a link and for its turn.
        operators: names or ids of users and roles that may write it as well.
        every: seconds between two looks where no watch tells.
        now: the server's time, or None where it is not known yet.
        usable: whether there is a presence document to answer in.
        obey: does a command; the flag says that its time is over, and it is only answered.
    """

    def __init__(
        self,
        me: WorkerInfo,
        *,
        client: Client,
        pool: Pool,
        operators: Sequence[str],
        every: float,
        now: Callable[[], datetime | None],
        usable: Callable[[], bool],
        obey: Callable[[Command, bool], Awaitable[None]],
        log: Log,
    ) -> None:
        super().__init__(
            "mailbox",
            first=every,
            pause=every,
            on_error=partial(log.failed, "commands cannot be read"),
        )
        self._me = me
        self._client = client
        self._pool = pool
        self._operators = tuple(operators)[:MOST_OPERATORS]
        self._every = every
        self._now = now
        self._usable = usable
        self._obey = obey
        self._log = log
        self._seal: Seal | None = None
        self._watch = ""
        self._heard = False
        """Whether the watch has told of something."""
        self._missed = False
        """Whether something may have been written that it did not tell of."""
        self._looked = 0.0
        """When it was read last; ``uptime``."""
        self._arrived: list[tuple[JsonObject, bool]] = []
        self._seen: list[str] = []
        self._said: set[str] = set()

    @property
    def id(self) -> str:
        """Where to write commands; "" while nowhere."""
        return "" if self._seal is None else self._seal.id

    def signed_in(self) -> None:
        """There is another link: what was written meanwhile was not told."""
        self._missed = True
        self.trigger()

    async def start(self) -> None:
        """Make the mailbox, so that the first heartbeat names it, and see what comes."""
        if not self.running and self._usable():
            with suppress(OpenIAPError, TimeoutError):  # then at the first round
                async with asyncio.timeout(OPEN_TIMEOUT):
                    await self._open()
        await super().start()

    async def stop(self) -> None:
        """Take no more commands, and remove the mailbox."""
        if not self.running:
            return
        await super().stop()
        seal, self._seal = self._seal, None
        if seal is None or not self._pool.ready:
            return
        with suppress(OpenIAPError, TimeoutError):
            async with asyncio.timeout(GOODBYE_TIMEOUT):
                await self._pool.call(lambda client: client.delete_one(COLLECTION, seal.id))

    async def round(self) -> float:
        """Make the mailbox, or see what came."""
        if not self._usable():
            return self._every
        await self._pool.wait_ready()
        if self._seal is None:
            try:
                await self._open()
            except AccessDenied as error:
                self._say(f"this worker cannot be steered: no mailbox for it ({error.text})")
                return SELDOM
            return self._every
        arrived, self._arrived = self._arrived, []
        for document, stamped in arrived:
            await self._take(document, stamped=stamped)
        silent = not arrived and uptime() - self._looked > SELDOM
        if self._missed or not self._heard or silent:
            await self._look()
        return SELDOM if self._heard else self._every

    async def _open(self) -> None:
        """Make a new mailbox.

        Raises:
            OpenIAPError: it cannot be made.
        """
        user = self._client.user
        if user is None:
            return
        allowed = {user.id: FULL, ADMINS: FULL}
        allowed |= dict.fromkeys(await self._found_operators(), STEERS)
        allowed[user.id] = FULL
        seal = Seal(f"mailbox-{secrets.token_hex(16)}", secrets.token_hex(32), allowed)
        await self._listen(seal)
        await self._client.insert_one(
            COLLECTION,
            {
                "_id": seal.id,
                "_type": TYPE,
                "name": f"commands for {self._me.id}",
                "worker": self._me.id,
                "seal": seal.text,
                "commands": [],
                "_acl": [{"_id": one, "rights": rights} for one, rights in allowed.items()],
            },
        )
        self._seal, self._missed, self._looked = seal, False, uptime()

    async def _found_operators(self) -> list[str]:
        """Return the ids of the users and roles that may write as well."""
        if not self._operators:
            return []
        named = list(self._operators)
        query = {"$or": [{field: {"$in": named}} for field in ("_id", "name", "username")]}
        found = await self._client.query("users", query, {"name": 1, "username": 1}, top=PAGE)
        known = {text_of(one.get(name)) for one in found for name in ("_id", "name", "username")}
        ids = {id for one in found if (id := id_of(one))}
        for name in named:
            if AN_ID.fullmatch(name):  # one that this user may not see is known to the server
                ids.add(name)
            elif name not in known:
                self._say(f"operator {name} is no user or role that this user may see; give the id")
        return sorted(ids)

    async def _listen(self, seal: Seal) -> None:
        """Be told of what comes, where the server can."""
        self._heard = False
        if not self._client.server_config.get("supports_watch"):
            return
        try:
            if self._watch:
                await self._client.unwatch(self._watch)
            self._watch = await self._client.watch(
                COLLECTION, [f"$[?(@._id == '{seal.id}')]"], partial(self._told, seal.id)
            )
        except OpenIAPError as error:
            if error.maybe_done:
                raise
            self._log.debug(f"no watch on commands: {error.text}")

    def _told(self, id: str, event: WatchEvent) -> None:
        if id_of(event.document) != id:
            return
        self._heard = True
        if event.operation == "insert":
            return
        if event.operation == "delete":
            self._lose(id)
        else:
            self._arrived.append((event.document, event.operation == "replace"))
        self.trigger()

    def _lose(self, id: str) -> None:
        """The mailbox is gone: another one is made, under another id."""
        if self._seal is not None and self._seal.id == id:
            self._seal = None
            self._arrived.clear()
            self.trigger()

    async def _look(self) -> None:
        """Read the mailbox; one that is gone is made anew.

        Raises:
            OpenIAPError: it cannot be read, or made.
        """
        seal = self._seal
        if seal is None:
            return
        found = await self._client.query(COLLECTION, {"_id": seal.id}, top=1)
        self._missed, self._looked = False, uptime()
        if found:
            await self._take(found[0], stamped=not self._heard)
        else:
            self._lose(seal.id)

    async def _take(self, document: JsonObject, *, stamped: bool) -> None:
        """Hand on what is new in a mailbox.

        Args:
            stamped: whether it is certain, or cannot be known, that the server stamped its writer.
        """
        seal = self._seal
        if seal is None or not document.get("commands"):
            return
        why = refusal_of(document, seal)
        if why:
            self._say(f"commands for this worker are not obeyed: {why}")
            if why == NOT_SEALED:  # ours is gone, and another stands in its place
                self._lose(seal.id)
            return
        now = self._now()
        if now is None:  # no heartbeat yet: the next look
            self._missed = True
            return
        written = moment_of(document.get("_modified"))
        for command in commands_of(document, self._seen, stamped=stamped):
            self._seen = [*self._seen[-10 * MOST :], command.id]
            await self._obey(command, is_over(command, written, now))

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._log.warn(text)


async def forget_mailboxes(client: Client, before: datetime) -> None:
    """Delete what workers left that have died, as far as this user may.

    Args:
        before: younger ones are left alone.
    """
    old = {"_type": TYPE, "_modified": {"$lt": iso(before)}}
    found = await client.query(COLLECTION, old, {"worker": 1}, top=PAGE)
    if not found:
        return
    names = sorted({text_of(one.get("worker")) for one in found})
    living = await client.query(
        WORKERS,
        {"_type": WORKER, "_id": {"$in": names}},
        {"lastseen.report.mailbox": 1},
        top=PAGE,
    )
    used = {
        text_of(object_of(object_of(one.get("lastseen")).get("report")).get("mailbox"))
        for one in living
    }
    over = [id for one in found if (id := id_of(one)) and id not in used]
    if over:
        await client.delete_many(COLLECTION, {"_id": {"$in": over}})
