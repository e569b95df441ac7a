"""Who is signed in to the API: random tokens, kept as their hashes, bounded in number and time."""

import hashlib
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from worker.management.api.options import Limits
from worker.openiap.types import User

Over = Literal["idle", "old", "ended"]
"""Why a session is none any more: nobody used it; it began too long ago; it was ended before."""
Carrier = Literal["bearer", "cookie"]
UserKey = tuple[str, tuple[str, ...]]
"""A user's id and roles, as the sign-in told them: who has the same may share a link."""
BYTES: Final = 32


def key_of(user: User) -> UserKey:
    """Return what users with the same rights have in common."""
    return user.id, tuple(sorted(user.roles))


@dataclass(slots=True)
class Session:
    """One sign-in.

    Attributes:
        id: the hash of its token.
        carrier: how its token comes along; the other way counts for nothing.
        began, used: by the clock of ``Sessions``.
    """

    id: str
    user: User
    key: UserKey
    carrier: Carrier
    began: float
    used: float


class Sessions:
    """The sessions of one process.

    Args:
        busy: whether something still runs for a user: the session does not idle then.
        clock: seconds.
    """

    def __init__(
        self,
        limits: Limits,
        busy: Callable[[UserKey], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._busy = busy
        self._clock = clock
        self._found: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._found)

    def begin(self, user: User, carrier: Carrier) -> tuple[str, Session]:
        """Begin one and return its token, which is kept nowhere."""
        token, now = secrets.token_urlsafe(BYTES), self._clock()
        session = Session(_hash(token), user, key_of(user), carrier, now, now)
        own = [one for one in self._found.values() if one.key == session.key]
        if len(own) >= self._limits.sessions_of_user:
            self.end(min(own, key=lambda one: one.used))
        elif len(self._found) >= self._limits.sessions:
            self.end(min(self._found.values(), key=lambda one: one.used))
        self._found[session.id] = session
        return token, session

    def find(self, token: str, carrier: Carrier) -> Session | None:
        """Return the session of a token, which is used by that; None where there is none."""
        session = self._found.get(_hash(token))
        if session is None or session.carrier != carrier:
            return None
        if self._is_over(session):
            self.end(session)
            return None
        session.used = self._clock()
        return session

    def holds(self, session: Session) -> bool:
        """Whether one has not ended; to ask is no use of it."""
        return self._found.get(session.id) is session and not self._is_over(session)

    def use(self, session: Session) -> bool:
        """Use one whose token was seen before, and say whether it still holds."""
        if not self.holds(session):
            return False
        session.used = self._clock()
        return True

    def idle_left(self, session: Session) -> float:
        """Return after how many seconds one ends unless it is used until then; infinity while
        something runs for its user."""
        if self._busy(session.key):
            return math.inf
        return max(0.0, session.used + self._limits.idle - self._clock())

    def why_over(self, session: Session) -> Over | None:
        """Return why one is over; None where it is not."""
        if self.left(session) <= 0:
            return "old"
        if self.idle_left(session) <= 0:
            return "idle"
        return None if self._found.get(session.id) is session else "ended"

    def end(self, session: Session) -> None:
        """End one; idempotent."""
        self._found.pop(session.id, None)

    def end_of(self, key: UserKey) -> None:
        """End all of a user."""
        for session in [one for one in self._found.values() if one.key == key]:
            self.end(session)

    def end_over(self) -> None:
        """End those that were idle for too long, or are too old."""
        for session in [one for one in self._found.values() if self._is_over(one)]:
            self.end(session)

    def left(self, session: Session) -> float:
        """Return after how many seconds one ends at the latest."""
        return max(0.0, session.began + self._limits.longest - self._clock())

    def users(self) -> set[UserKey]:
        """Return whose there are."""
        return {session.key for session in self._found.values()}

    def _is_over(self, session: Session) -> bool:
        return self.idle_left(session) <= 0 or self.left(session) <= 0


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
