"""The limiter finds the server's limit by itself and lets write-backs go first."""

import asyncio
from collections import deque
from collections.abc import Callable

import pytest

from tests.unit.virtualloop import in_virtual_time
from worker.openiap.limiter import WINDOW_SEEN, Limiter


class Server:
    """Refuses more than ``limit`` messages in a window of one second, as OpenIAP counts."""

    def __init__(self, limit: int, clock) -> None:
        self.limit = limit
        self.clock = clock
        self.window = 0.0
        self.count = 0
        self.accepted = 0
        self.refused = 0

    def message(self) -> bool:
        now = self.clock()
        if now >= self.window + 1.0:
            self.window, self.count = now, 0
        self.count += 1
        if self.count > self.limit:
            self.refused += 1
            return False
        self.accepted += 1
        return True


async def send(limiter: Limiter, server: Server, turn="then") -> None:
    while True:
        await limiter.admit(turn)
        if server.message():
            return
        await limiter.refused()


def timed(rate: float) -> tuple[Limiter, Callable[[], float]]:
    """Return a limiter by the running loop's time, and that time."""
    clock = asyncio.get_running_loop().time
    return Limiter(rate, clock=clock), clock


def test_the_rate_settles_near_the_servers_limit() -> None:
    async def scene() -> None:
        limiter, clock = timed(25)
        server = Server(30, clock)
        await asyncio.gather(*(send(limiter, server) for _ in range(180)))
        assert server.accepted == 180
        assert clock() < 180 / 30 * 1.5
        assert server.refused < 60

    in_virtual_time(scene())


def test_the_rate_is_the_servers_limit_where_a_refusal_tells_its_count() -> None:
    async def scene() -> None:
        limiter, clock = timed(25)
        server = Server(30, clock)

        async def send_telling() -> None:
            while True:
                await limiter.admit()
                if server.message():
                    return
                await limiter.refused(server.count)

        await asyncio.gather(*(send_telling() for _ in range(240)))
        assert clock() < 240 / 30 * 1.15
        assert 25 <= limiter.rate <= 32

    in_virtual_time(scene())


def test_a_count_over_a_longer_window_is_not_taken_for_a_rate() -> None:
    async def scene() -> None:
        limiter, _ = timed(25)
        for _ in range(10):
            await limiter.admit()
        await limiter.refused(301)
        assert limiter.rate < 25

    in_virtual_time(scene())


def test_a_server_without_a_limit_is_soon_used_fully() -> None:
    async def scene() -> None:
        limiter, clock = timed(25)
        server = Server(10**9, clock)
        await asyncio.gather(*(send(limiter, server) for _ in range(400)))
        assert limiter.rate >= 100
        assert clock() < 30

    in_virtual_time(scene())


def test_write_backs_go_before_pops() -> None:
    async def scene() -> None:
        limiter, _ = timed(5)
        order: deque[str] = deque()

        async def one(turn: str) -> None:
            await limiter.admit(turn)
            order.append(turn)

        for _ in range(5):
            await limiter.admit("then")
        pops = [asyncio.create_task(one("then")) for _ in range(3)]
        await asyncio.sleep(0)
        writes = [asyncio.create_task(one("first")) for _ in range(3)]
        await asyncio.gather(*pops, *writes)
        assert list(order)[:3] == ["first"] * 3

    in_virtual_time(scene())


def test_a_cancelled_waiter_costs_no_message() -> None:
    async def scene() -> None:
        limiter, clock = timed(1)
        await limiter.admit()
        waiters = [asyncio.create_task(limiter.admit()) for _ in range(5)]
        await asyncio.sleep(0)
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        assert all(waiter.cancelled() for waiter in waiters)
        await limiter.admit()
        assert clock() == pytest.approx(WINDOW_SEEN)

    in_virtual_time(scene())


def test_rate_zero_admits_everything_at_once() -> None:
    async def scene() -> None:
        limiter, clock = timed(0)
        for _ in range(10_000):
            await limiter.admit()
        assert clock() == 0
        assert limiter.rate == 0

    in_virtual_time(scene())


async def send_telling(limiter: Limiter, server: Server) -> None:
    while True:
        await limiter.admit()
        if server.message():
            return
        await limiter.refused(server.count)


def test_all_goes_until_a_refusal_tells_the_limit() -> None:
    async def scene() -> None:
        clock = asyncio.get_running_loop().time
        limiter, server = Limiter(clock=clock), Server(30, clock)
        for _ in range(30):
            await send_telling(limiter, server)
        assert clock() == 0.0
        assert (limiter.rate, limiter.learnt) == (0.0, 0.0)
        await asyncio.gather(*(send_telling(limiter, server) for _ in range(210)))
        assert clock() < 240 / 30 * 1.15
        assert 28 <= limiter.learnt <= 32
        # Of the first second's burst, which all went out before the first answer, some 200.
        first, server.refused = server.refused, 0
        await asyncio.gather(*(send_telling(limiter, server) for _ in range(240)))
        assert server.refused <= 6
        assert first <= 220

    in_virtual_time(scene())


def test_a_refusal_that_tells_nothing_is_learnt_from_too() -> None:
    async def scene() -> None:
        clock = asyncio.get_running_loop().time
        limiter, server = Limiter(clock=clock), Server(30, clock)
        await asyncio.gather(*(send(limiter, server) for _ in range(180)))
        assert server.accepted == 180
        assert clock() < 60

    in_virtual_time(scene())


def test_what_was_found_out_is_begun_with_and_costs_no_refusal() -> None:
    async def scene() -> None:
        clock = asyncio.get_running_loop().time
        limiter, server = Limiter(clock=clock), Server(30, clock)
        limiter.begin_with(30.0)
        await asyncio.gather(*(send_telling(limiter, server) for _ in range(90)))
        assert server.refused <= 1
        assert limiter.rate >= 29

    in_virtual_time(scene())


def test_what_was_found_out_does_not_bind_a_server_whose_limit_went() -> None:
    async def scene() -> None:
        clock = asyncio.get_running_loop().time
        limiter, server = Limiter(clock=clock), Server(10**9, clock)
        limiter.begin_with(30.0)
        await asyncio.gather(*(send_telling(limiter, server) for _ in range(4_000)))
        assert clock() < 60
        assert limiter.rate > 100

    in_virtual_time(scene())


def test_a_server_that_says_it_has_no_limit_is_believed() -> None:
    async def scene() -> None:
        clock = asyncio.get_running_loop().time
        limiter, server = Limiter(clock=clock), Server(10**9, clock)
        limiter.begin_with(30.0)
        waiting = [asyncio.create_task(send_telling(limiter, server)) for _ in range(100)]
        await asyncio.sleep(0.5)
        limiter.lift()
        await asyncio.gather(*waiting)
        assert clock() == 0.5
        assert (limiter.rate, limiter.learnt) == (0.0, 0.0)
        set_by_hand = Limiter(5, clock=clock)
        set_by_hand.lift()
        assert set_by_hand.rate == 5

    in_virtual_time(scene())
