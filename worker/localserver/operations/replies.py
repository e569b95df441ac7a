"""What is about to be sent, held back until what it tells is committed.

1. Commands write into one running transaction and leave their replies here.
2. When the loop has worked off what had arrived, or a group is full, one commit makes all of it
   last, and then all replies go out: a group commit, so that the disk costs little per command.
3. Where the commit fails, every reply of the group becomes an error: nothing is claimed that is
   not on disk.
4. Who waits for an answer gets it first. Whoever is only told of something, as all who watch are of
   a bulk of items, is told in parts, and the commands that come meanwhile are executed in between.
   Each client gets what is for it in its order.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from google.protobuf.message import Message

from worker.localserver.storage.store import Store
from worker.openiap.wire import openiap_pb2 as pb

GROUP: Final = 10
"""So many answers share a commit at most: more would wait for each other for longer than it takes,
and clients with few slots would stand still meanwhile."""
PART: Final = 400
"""Messages that are sent before others have their turn: some milliseconds."""


class Receiver(Protocol):
    """Who gets a message: a session."""

    def deliver(self, command: str, message: Message | None, rid: str) -> None:
        """Send one message with the next ``push``."""

    def push(self) -> None:
        """Hand all that was delivered to the network."""


@dataclass(slots=True)
class Waiting:
    """One message that waits for the commit; without a ``rid`` it answers nothing."""

    receiver: Receiver
    command: str
    message: Message | None
    rid: str


class Replies:
    """Collects messages and sends them behind the commit."""

    def __init__(self, store: Store, log: Callable[[str], None]) -> None:
        self._store = store
        self._log = log
        self._waiting: list[Waiting] = []
        self._answers = 0
        """How many of them somebody waits for."""
        self._scheduled = False
        self._outgoing: dict[Receiver, list[Waiting]] = {}
        """What is committed, and still to be sent."""
        self._going_on = False

    def add(self, receiver: Receiver, command: str, message: Message | None, rid: str) -> None:
        """Send a message once everything that was written so far is committed."""
        self._waiting.append(Waiting(receiver, command, message, rid))
        self._answers += bool(rid)
        self.schedule()

    def schedule(self) -> None:
        """See to it that what was written is committed, reply or not."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush_full(self) -> None:
        """Commit and send where enough has come together; call between two commands."""
        if self._answers >= GROUP:
            self.flush()

    def position(self) -> int:
        """Return the present place, for ``drop_since``."""
        return len(self._waiting)

    def drop_since(self, position: int) -> None:
        """Drop the messages of a command that was undone."""
        self._answers -= sum(1 for one in self._waiting[position:] if one.rid)
        del self._waiting[position:]

    def flush(self) -> None:
        """Commit and send."""
        self._scheduled = False
        waiting, self._waiting, self._answers = self._waiting, [], 0
        try:
            self._store.commit()
        except sqlite3.Error as error:
            self._log(f"the data could not be written: {error}")
            failure = pb.ErrorResponse(message=f"The data could not be written: {error}", code=500)
            answers = [one for one in waiting if one.rid]
            waiting = [Waiting(one.receiver, "error", failure, one.rid) for one in answers]
        asked: dict[Receiver, None] = {}
        for one in waiting:
            self._outgoing.setdefault(one.receiver, []).append(one)
            if one.rid:
                asked[one.receiver] = None
        # Now and not a turn later: clients work on while the next commands are executed.
        for receiver in asked:
            self._send(receiver, self._outgoing.pop(receiver))
        if not self._going_on:
            self._send_part()

    def end(self) -> None:
        """Commit and send all that there is: nobody comes to it any more."""
        self.flush()
        while self._outgoing:
            self._send_part()

    def _send_part(self) -> None:
        """Send some of what is left; the rest follows in the loop's next turns."""
        self._going_on = False
        room = PART
        try:
            while self._outgoing and room > 0:
                receiver = next(iter(self._outgoing))
                its = self._outgoing.pop(receiver)
                now, later = its[:room], its[room:]
                if later:
                    self._outgoing[receiver] = later
                room -= len(now)
                self._send(receiver, now)
        finally:
            if self._outgoing:
                self._going_on = True
                asyncio.get_running_loop().call_soon(self._send_part)

    def _send(self, receiver: Receiver, its: list[Waiting]) -> None:
        for one in its:
            receiver.deliver(one.command, one.message, one.rid)
        receiver.push()
