"""A call tried again while the link is away, for a bounded time."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from worker.openiap.errors import NotConnected, OpenIAPError, RateLimited

PATIENCE: Final = 60.0
WAIT_FIRST: Final = 0.2
WAIT_MAX: Final = 5.0

T = TypeVar("T")


async def tried(call: Callable[[], Awaitable[T]], *, patience: float = PATIENCE) -> T:
    """Make a call that may be repeated, until it is answered.

    Args:
        patience: seconds after which the error of the last try is raised.

    Raises:
        OpenIAPError: a refusal, at once; or no answer in all that time.
    """
    retrying = AsyncRetrying(
        stop=stop_after_delay(patience),
        wait=wait_random_exponential(multiplier=WAIT_FIRST, max=WAIT_MAX),
        retry=retry_if_exception(_may_do_later),
        reraise=True,
    )

    async def called() -> T:
        return await call()

    return await retrying(called)


def _may_do_later(error: BaseException) -> bool:
    return isinstance(error, OpenIAPError) and (
        error.maybe_done or isinstance(error, NotConnected | RateLimited)
    )
