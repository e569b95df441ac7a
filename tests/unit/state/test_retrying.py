"""A call is repeated while that can help, and no longer."""

import pytest

from worker.openiap.errors import (
    AccessDenied,
    NotConnected,
    OpenIAPError,
    RateLimited,
    RequestTimeout,
)
from worker.state.retrying import passes, tried


class Call:
    """Fails so many times, then answers."""

    def __init__(self, failures: int, error: OpenIAPError) -> None:
        self.count = 0
        self._failures = failures
        self._error = error

    async def __call__(self) -> int:
        self.count += 1
        if self.count <= self._failures:
            raise self._error
        return self.count


@pytest.mark.parametrize(
    "error", [NotConnected("no link"), RateLimited("429"), RequestTimeout("no answer")], ids=repr
)
async def test_what_passes_is_tried_again(error: OpenIAPError) -> None:
    call = Call(3, error)
    assert passes(error)
    assert await tried(call, longest=0.0) == 4
    again = Call(3, error)
    assert await tried(lambda: again(), patience=None, longest=0.0) == 4


async def test_a_refusal_is_raised_at_once() -> None:
    error = AccessDenied("no rights")
    call = Call(9, error)
    with pytest.raises(AccessDenied):
        await tried(call, patience=None, longest=0.0)
    assert (call.count, passes(error)) == (1, False)


async def test_what_does_not_pass_in_time_is_raised() -> None:
    call = Call(9, NotConnected("no link"))
    with pytest.raises(NotConnected):
        await tried(call, patience=0.0)
    assert call.count == 1


def test_a_mistake_of_ours_does_not_pass() -> None:
    assert not passes(ValueError("odd"))
