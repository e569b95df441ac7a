"""The server's time, so that what was stamped there is judged by the same clock.

The server stamps each write, so a write tells what time it is there; for a while after it this
machine's uptime goes on from that, which no setting of its own clock disturbs.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, ServerError
from worker.openiap.fields import moment_of
from worker.openiap.upsert import upsert
from worker.openiap.workitem import JsonObject
from worker.state.cells import COLLECTION
from worker.uptime import uptime

TYPE: Final = "clock"
GOOD_FOR: Final = 60.0
"""Seconds; a server's clock that is set meanwhile is wrong here for that long."""


class ServerClock:
    """Tells the server's time; one message a minute while it is asked."""

    def __init__(
        self, client: Client, namespace: str = "", *, clock: Callable[[], float] = uptime
    ) -> None:
        self._client = client
        self._id = f"{namespace}/clock"
        self._document: JsonObject = {"_id": self._id, "_type": TYPE}
        self._clock = clock
        self._known: tuple[datetime, float] | None = None

    async def now(self) -> datetime:
        """Return the server's time, to the time that a message takes.

        Raises:
            OpenIAPError: the server cannot be asked, or refuses the write.
        """
        if self._known is None or self._clock() - self._known[1] > GOOD_FOR:
            self._known = await self._asked()
        moment, at = self._known
        return moment + timedelta(seconds=self._clock() - at)

    async def now_or_own(self) -> datetime:
        """Return the server's time; this machine's, where this user may not write what tells it.

        For what is shown: what is changed by a wrong clock cannot be had back.
        """
        try:
            return await self.now()
        except (AccessDenied, ServerError):
            return datetime.now(UTC)

    async def _asked(self) -> tuple[datetime, float]:
        try:
            stored = await upsert(self._client, COLLECTION, self._document)
        except AccessDenied:
            # Another user's: ids are shared by all, what may be seen is not.
            user = self._client.user
            own = f"{self._id}/{user.id if user is not None else ''}"
            if self._document["_id"] == own:
                raise
            self._document["_id"] = own
            stored = await upsert(self._client, COLLECTION, self._document)
        stamped = moment_of(stored.get("_modified"))
        if stamped is None:
            raise ServerError("the reply does not tell the server's time", operation="clock")
        return stamped, self._clock()
