"""What the server refused right after a sign-in is asked for again, until it is there.

A queue without its watch and its messages is worked by polls alone; one that was not there at the
sign-in may have been created since. The first pause is short and each is twice the last: a user who
lacks a right for good costs a few messages an hour.
"""

import random
from collections.abc import Callable
from typing import Final

from worker.engine.queues import Queues
from worker.openiap.connection import Connection
from worker.openiap.errors import OpenIAPError
from worker.service import Service
from worker.telemetry.log import Log

FIRST: Final = 1.0
LONGEST: Final = 300.0
"""Seconds between two tries."""


class Registration(Service):
    """Looks after the registrations of one worker; each sign-in triggers it.

    Args:
        connection: the one that the queues are registered on.
        registered: called when more is known or registered than before.
    """

    def __init__(
        self,
        queues: Queues,
        connection: Callable[[], Connection],
        *,
        registered: Callable[[], None],
        log: Log,
        chance: random.Random,
        first: float = FIRST,
    ) -> None:
        super().__init__(
            "registration",
            pause=LONGEST,
            on_error=lambda error: log.failed("registering queues", error),
            chance=chance,
        )
        self._queues = queues
        self._connection = connection
        self._registered = registered
        self._log = log
        self._shortest = self._wait_next = first
        self._sign_in = 0

    async def round(self) -> float | None:
        """Ask once for what is owed."""
        queues, connection = self._queues, self._connection()
        if not queues.owed:
            return None
        if queues.sign_ins != self._sign_in:
            self._sign_in, self._wait_next = queues.sign_ins, self._shortest
            return self._wait_next
        self._wait_next = min(LONGEST, 2 * self._wait_next)
        if not connection.ready.is_set():
            return self._wait_next
        try:
            await queues.register_again(connection, self._sign_in)
        except OpenIAPError as error:
            self._log.debug(f"registering queues: {error}")
            return self._wait_next
        if not queues.owed:
            self._log.info("what was refused after the sign-in is registered now")
        self._registered()
        return self._wait_next
