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
