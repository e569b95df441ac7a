"""Whether the server tells of a queue's items, so that looking at it can be rare."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from tests.integration.engine.conftest import create_queue
from worker.engine.queues import Queues
from worker.localserver import LocalServer
from worker.openiap.client import Client
from worker.openiap.connection import Connection
from worker.telemetry.log import Log


class Line:
    """One signed-in client in the place of a connection."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, operation: Callable[[Client], Awaitable[Any]], *, turn: str = "") -> Any:
        return await operation(self.client)


async def test_a_queue_counts_as_told_of_only_while_something_tells(
    server: LocalServer, client: Client
) -> None:
    await create_queue(client, "q", amqpqueue="Q-Messages")
    await create_queue(client, "mute", amqpqueue="")
    log = Log("error", fallback=lambda level, line: None)
    queues = Queues(("q", "mute"), message_queue="", wake=lambda name: None, log=log)
    connection = cast(Connection, Line(client))
    assert not queues.notified("q")
    server.faults.refuse = {"watch": 1, "registerqueue": 2}
    await queues.register(connection)
    assert (queues.notified("q"), queues.notified("mute")) == (False, False)
    server.faults.refuse = {"watch": 1}
    await queues.register(connection)
    assert (queues.notified("q"), queues.notified("mute")) == (True, False), "by messages alone"
    server.faults.refuse = {}
    await queues.register(connection)
    assert (queues.notified("q"), queues.notified("mute")) == (True, True), "by the watch"
