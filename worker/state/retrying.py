"""A call tried again while the link is away."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_delay,
    stop_never,
    wait_random_exponential,
)

from worker.openiap.errors import NotConnected, OpenIAPError, RateLimited

PATIENCE: Final = 60.0
WAIT_FIRST: Final = 0.2
WAIT_MAX: Final = 5.0

T = TypeVar("T")


async def tried(
    call: Callable[[], Awaitable[T]],
    *,
    patience: float | None = PATIENCE,
    longest: float = WAIT_MAX,
) -> T:
    """Make a call that may be repeated, until it is answered.

    Args:
        patience: seconds after which the error of the last try is raised; None tries for ever.
        longest: seconds at most between two tries.

    Raises:
        OpenIAPError: a refusal, at once; or no answer in all that time.
    """
    retrying = AsyncRetrying(
        stop=stop_never if patience is None else stop_after_delay(patience),
        wait=wait_random_exponential(multiplier=WAIT_FIRST, max=longest),
        retry=retry_if_exception(passes),
        reraise=True,
    )

    async def called() -> T:  # tenacity takes a lambda for a function that does not wait
        return await call()

    return await retrying(called)


def passes(error: BaseException) -> bool:
    """Whether an error says that the call may do later: no link, no answer, or too many calls."""
    return isinstance(error, OpenIAPError) and (
        error.maybe_done or isinstance(error, NotConnected | RateLimited)
    )
