"""Moments are the test's own on this side, and the server's on that."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from worker.openiap.client import Client
from worker.openiap.workitem import Workitem
from worker.testing.virtual_time import VirtualClock, in_virtual_time


class Server:
    """Keeps what it was sent and gives it back."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.on_late_pop: Any = None

    async def push_workitem(self, wiq: str, payload: Any, *, nextrun: Any, **more: Any) -> Workitem:
        self.sent.append(nextrun)
        return Workitem(nextrun=nextrun)

    async def push_workitems(
        self, wiq: str, items: Any, *, nextrun: Any, **more: Any
    ) -> list[Workitem]:
        self.sent += [nextrun, *(item.nextrun for item in items)]
        return list(items)

    async def update_workitem(self, workitem: Workitem, files: Any = ()) -> Workitem:
        self.sent.append(workitem.nextrun)
        return workitem


async def test_moments_are_moved_on_their_way_there_and_back() -> None:
    server, clock = Server(), VirtualClock()
    client = in_virtual_time(cast(Client, server), clock)
    clock.advance(3600)
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    hour = timedelta(hours=1)
    assert (await client.push_workitem("q", {}, nextrun=moment)).nextrun == moment
    assert (await client.update_workitem(Workitem(nextrun=moment))).nextrun == moment
    (item,) = await client.push_workitems("q", [Workitem(nextrun=moment)])
    assert item.nextrun == moment
    assert server.sent == [moment + hour, moment + hour, None, moment + hour]
    assert (await client.push_workitem("q", {})).nextrun is None


async def test_the_rest_is_the_clients_own() -> None:
    server = Server()
    client = in_virtual_time(cast(Client, server), VirtualClock())
    client.on_late_pop = print
    assert server.on_late_pop is print
    assert client.sent == []  # type: ignore[attr-defined]


def test_the_clock_only_goes_ahead() -> None:
    clock = VirtualClock()
    clock.advance(60)
    assert clock() == pytest.approx(time.time() + 60, abs=30)
    with pytest.raises(ValueError, match="time cannot be moved by -1 s: it only goes ahead"):
        clock.advance(-1)
