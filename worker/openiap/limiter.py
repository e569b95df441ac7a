"""How many messages per second one connection may carry, found out while working.

OpenIAP refuses what is over its limit in a window of one second, at once and without executing it
(server.md, Errors); installations change the limit and do not tell it. So everything is admitted
until something is refused; then the rate is what the refusal tells, where it tells its count, and
creeps up from there. What was found out once can be begun with, and a rate can be set instead.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

WINDOW: Final = 1.0
# A little longer than the server's: its window and ours see a message at different moments.
WINDOW_SEEN: Final = 1.02
STEP_DOWN: Final = 0.9
STEP_DOWN_FROM_DOUBLING: Final = 0.6
STEP_UP: Final = 1.0
STEP_UP_NEAR_LIMIT: Final = 0.2
OUTGROWN: Final = 1.2
"""So much above what was refused nothing is refused any more: the limit is another one by now."""

Turn = Literal["first", "then"]


def limiter_of(rate: float | Literal["auto"]) -> "Limiter":
    """Return the limiter that the setting ``rate_limit`` asks for."""
    return Limiter(None if rate == "auto" else rate)


class Limiter:
    """Admits messages on one connection; those that write outcomes back go first.

    Args:
        rate: messages per second to start with; 0 admits everything for ever, None until the
            server refuses something.
        clock: monotonic seconds.
    """

    def __init__(
        self, rate: float | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.enabled = rate is None or rate > 0
        self._learns: Final = rate is None
        self._open = self._learns
        self._rate = max(1.0, rate or 0.0)
        self._clock = clock
        self._sent: deque[float] = deque()
        self._first: deque[asyncio.Future[None]] = deque()
        self._then: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed_until = 0.0
        self._refused_at = float("-inf")
        self._in_a_row = 0
        self._doubling = True
        self._failed_at = 0.0
        self._raised_at = clock()
        self._saturated = False
        self.refusals = 0

    @property
    def rate(self) -> float:
        """The present rate in messages per second; 0 when there is no limit, or none was met."""
        return self._rate if self.enabled and not self._open else 0.0

    @property
    def learnt(self) -> float:
        """What the server's limit is, as far as refusals have told; 0.0 if there was none."""
        return self._rate if self._failed_at else 0.0

    def begin_with(self, rate: float) -> None:
        """Take what was found out before, where nothing was set and nothing is known yet."""
        if self._open and rate >= 1.0:
            self._open = self._doubling = False
            self._rate, self._failed_at = rate, rate + 1.0

    def lift(self) -> None:
        """The server says that it has no limit: unless a rate was set, admit everything until it
        refuses something."""
        if not self._learns or self._open:
            return
        self._open, self._failed_at = True, 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._release()

    def delay(self) -> float:
        """Return about how many seconds a message that comes now would wait."""
        if not self.enabled or self._open:
            return max(0.0, self._closed_until - self._clock())
        queued = len(self._first) + len(self._then)
        return max(0.0, self._wait(self._clock())) + queued / self._rate

    def passes(self, turn: Turn = "then") -> bool:
        """Let one message go now, where none has to wait; False where it has to (``admit``)."""
        if not self.enabled:
            return True
        if self._first or (self._then and turn != "first"):
            return False
        now = self._clock()
        if self._wait(now) > 0:
            return False
        self._sent.append(now)
        return True

    async def admit(self, turn: Turn = "then") -> None:
        """Wait until one message may be sent."""
        if self.passes(turn):
            return
        self._saturated = True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._first if turn == "first" else self._then).append(future)
        self._arm()
        await future

    async def refused(self, points: int = 0) -> None:
        """The server refused a message: close until its window is over, and step down.

        Several refusals of one window count as one. Without a limit of our own the caller waits
        here for the window.

        Args:
            points: how many messages the server says it counted in its window; 0 if it did not.
        """
        self.refusals += 1
        if not self.enabled:
            await asyncio.sleep(WINDOW + random.uniform(0.0, 0.05))  # noqa: S311 (no secret)
            return
        now = self._clock()
        if now < self._closed_until:
            return
        self._in_a_row = self._in_a_row + 1 if now - self._refused_at < WINDOW else 0
        self._refused_at = now
        self._forget(now)
        over = now + WINDOW
        if 1 < points <= 1.5 * len(self._sent) + 5:
            # Its limit, told; a window longer than ours would count far more than we sent in ours.
            self._rate, self._failed_at = float(points - 1), float(points)
            # The window began with the burst that is over it, or else a little later.
            if self._in_a_row == 0 and self._sent:
                over = max(now, self._sent[0] + WINDOW_SEEN)
            elif self._in_a_row == 1:
                over = now + WINDOW / 4
        else:
            factor = STEP_DOWN_FROM_DOUBLING if self._doubling else STEP_DOWN
            self._failed_at = float(max(1, len(self._sent))) if self._open else self._rate
            self._rate = max(1.0, self._failed_at * factor)
        self._open = False
        self._doubling = False
        self._saturated = False
        self._raised_at = now + WINDOW
        # Spread over processes that were refused together.
        self._closed_until = over + random.uniform(0.0, 0.05)  # noqa: S311 (no secret)
        self._arm()

    def _wait(self, now: float) -> float:
        """Seconds until the next message may go; 0 or less means now."""
        if now < self._closed_until:
            return self._closed_until - now
        sent = self._sent
        self._forget(now)
        if self._open:
            return 0.0
        self._grow(now)
        if len(sent) < int(self._rate):
            return 0.0
        return sent[len(sent) - int(self._rate)] + WINDOW_SEEN - now

    def _forget(self, now: float) -> None:
        """Drop what was sent before the present window."""
        while self._sent and self._sent[0] <= now - WINDOW_SEEN:
            self._sent.popleft()

    def _grow(self, now: float) -> None:
        if now - self._raised_at < WINDOW:
            return
        self._raised_at = now
        if not self._saturated:
            return  # nothing was held back, so nothing was learnt about the limit
        self._saturated = bool(self._first or self._then)
        if self._doubling:
            self._rate *= 2
        elif self._rate >= OUTGROWN * self._failed_at:
            self._doubling = True
        elif self._rate >= 0.95 * self._failed_at:
            self._rate += STEP_UP_NEAR_LIMIT
        else:
            self._rate += max(STEP_UP, 0.05 * self._rate)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait = max(0.0, self._wait(self._clock()))
        self._timer = asyncio.get_running_loop().call_later(wait, self._release)

    def _release(self) -> None:
        self._timer = None
        while self._first or self._then:
            now = self._clock()
            if self._wait(now) > 0:
                self._arm()
                return
            future = self._first.popleft() if self._first else self._then.popleft()
            if future.done():
                continue  # its caller was cancelled
            self._sent.append(now)
            future.set_result(None)
