"""What those who wait for the outbox's thread are told, on their loop; calls of ``call_soon``."""

from asyncio import Future
from collections.abc import Sequence
from typing import Any, Final

AT_A_TIME: Final = 8
"""Who waited for a commit goes on in eights, a turn of the loop apart: a whole group in one turn
would keep the answer to a pop waiting, and the server with it; fewer at a time are more turns, and
more messages that go alone."""


def finish(futures: "Sequence[Future[None]]") -> None:
    """Let all go on that wait for a commit."""
    for done in futures[:AT_A_TIME]:
        if not done.done():
            done.set_result(None)
    if later := futures[AT_A_TIME:]:
        later[0].get_loop().call_soon(finish, later)


def succeed(done: "Future[Any]", result: object) -> None:
    """Hand over what a job returned."""
    if not done.done():
        done.set_result(result)


def fail(done: "Future[Any]", error: Exception) -> None:
    """Tell that a job failed."""
    if not done.done():
        done.set_exception(error)
