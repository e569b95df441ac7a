"""A process that works with shared state as it is told, line by line; tests kill and freeze it.

Arguments: the server's URL and the client's name. Commands on stdin, one answer each on stdout:
``hold NAME LEASE`` (the fencing number), ``check`` (held or lost), ``release``, ``add NAME TIMES``
(the values), ``once KEY``, ``cached NAME SECONDS``
(``computing`` first), ``push KEY TIMES`` to the queue ``q`` (ids, and which were there).
"""

import asyncio
import json
import sys
from typing import Any

from worker import Client, LockLost, Producer, State, cached
from worker.openiap.native import NativeClient
from worker.openiap.official.client import OfficialClient
from worker.openiap.types import ConnectionOptions
from worker.producer.sender import ClientSender
from worker.state.current import CurrentState, current_state, waiting_for
from worker.state.lock import Held, Lock

USER = "tester"
PASSWORD = "secret"


@cached(ttl="5m", key=lambda name, seconds: name)
async def slow(name: str, seconds: float) -> str:
    """Compute for a while."""
    if seconds:
        answer("computing")
    await asyncio.sleep(seconds)
    return f"{name}!"


class Holder:
    """What this process holds."""

    def __init__(self, client: Client) -> None:
        self._state = State(client, "test")
        self._producer = Producer(ClientSender(client, "test"))
        self._lock: Lock | None = None
        self._held: Held | None = None

    async def told(self, command: str, *arguments: str) -> Any:
        if command == "hold":
            self._lock = self._state.lock(arguments[0], arguments[1])
            self._held = await self._lock.acquire()
            return self._held.number
        if command == "check":
            assert self._held is not None
            try:
                self._held.check()
            except LockLost:
                return "lost"
            return "held"
        if command == "release":
            assert self._lock is not None
            await self._lock.release()
            return "released"
        if command == "add":
            counter = self._state.counter(arguments[0])
            return [await counter.add() for _ in range(int(arguments[1]))]
        if command == "once":
            return await self._state.once(arguments[0])
        if command == "cached":
            wait = waiting_for(asyncio.get_running_loop())
            current_state.set(CurrentState(self._state, wait))
            return await slow(arguments[0], float(arguments[1]))
        if command == "push":
            pushed = [
                await self._producer.push("q", {}, unique=f"{arguments[0]}-{number}")
                for number in range(int(arguments[1]))
            ]
            return [[one.id, one.existing] for one in pushed]
        raise ValueError(command)


async def main(url: str, kind: str) -> None:
    options = ConnectionOptions(url=url, username=USER, password=PASSWORD, default_timeout=60)
    client = OfficialClient(options) if kind == "official" else NativeClient(options)
    await client.connect(timeout=60)
    holder = Holder(client)
    answer("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        answer(await holder.told(*line.split()))


def answer(value: Any) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
