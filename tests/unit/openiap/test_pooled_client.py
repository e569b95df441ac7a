"""The client of handlers: links come and go behind it."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from tests.unit.virtualloop import in_virtual_time
from worker.openiap.client import Client
from worker.openiap.errors import IN_A_CHILD, Disconnected, NotConnected, OpenIAPError
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client


class Flapping:
    """A pool that seems to be ready, and whose calls fail at first."""

    def __init__(self, *errors: OpenIAPError) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def wait_ready(self) -> None:
        return

    async def call(self, operation: Callable[[Client], Awaitable[Any]], **_: Any) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answered"


def asked(pool: Flapping) -> Any:
    return in_virtual_time(pooled_client(cast(Pool, pool)).count("c", {}))


def test_a_call_that_was_not_sent_goes_out_over_the_next_link() -> None:
    pool = Flapping(NotConnected("not connected to OpenIAP"), NotConnected("Connecting"))
    assert asked(pool) == "answered"
    assert pool.calls == 3


@pytest.mark.parametrize("error", [Disconnected("gone"), NotConnected(IN_A_CHILD)])
def test_a_call_that_may_have_been_done_is_not_repeated_and_a_forked_child_is_told(
    error: OpenIAPError,
) -> None:
    pool = Flapping(error)
    with pytest.raises(type(error)):
        asked(pool)
    assert pool.calls == 1


class Link:
    """A connection whose client notes what is watched on it; it stands for both."""

    def __init__(self) -> None:
        self.connected = True
        self.watches: list[str] = []

    @property
    def present(self) -> "Link":
        return self

    async def call(self, operation: Callable[[Any], Awaitable[Any]]) -> Any:
        return await operation(self)

    async def watch(self, watch: str) -> str:
        self.watches.append(watch)
        return watch

    async def unwatch(self, watch: str) -> None:
        self.watches.remove(watch)


class Turning:
    """A pool that gives each call to the next of its connections."""

    def __init__(self) -> None:
        self.connections = [Link(), Link()]
        self.calls = 0

    async def wait_ready(self) -> None:
        return

    async def call(self, operation: Callable[[Any], Awaitable[Any]], **_: Any) -> Any:
        self.calls += 1
        return await operation(self.connections[self.calls % 2])


def test_a_watch_is_ended_on_the_link_that_it_is_on_and_goes_with_it() -> None:
    pool = Turning()
    client: Any = pooled_client(cast(Pool, pool))

    async def watch() -> None:
        for name in ("a", "b", "c"):
            assert await client.watch(name) == name
        await client.unwatch("b")
        await client.unwatch("a")
        assert [link.watches for link in pool.connections] == [[], ["c"]]
        gone, pool.connections[1] = pool.connections[1], Link()
        gone.connected = False
        await client.unwatch("c")
        assert gone.watches == ["c"]

    in_virtual_time(watch())
