"""What the server does over and over goes on whatever a round raises, and says so once."""

import asyncio

from worker.localserver.operations.repeated import Repeated

DEADLINE = 60.0


async def test_a_round_that_fails_is_said_once_for_each_error_and_the_next_one_comes() -> None:
    errors = [OSError(28, "full"), OSError(28, "full"), ValueError("odd"), OSError(28, "full")]
    said, over = list[str](), asyncio.Event()

    async def sweep() -> None:
        if errors:
            raise errors.pop(0)
        over.set()

    repeated = Repeated("the sweep", 0.0, sweep, said.append)
    await repeated.start()
    await asyncio.wait_for(over.wait(), DEADLINE)
    await repeated.stop()
    full = "the sweep failed, and goes on: OSError: [Errno 28] full"
    odd = "the sweep failed, and goes on: ValueError: odd"
    assert said == [full, odd, full]
