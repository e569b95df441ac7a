"""What all of the integration floor has in common."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Let no server here spend 50 ms on its user's password, and as much on the first sign-in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.localserver.operations.users.COST", 16)
        yield
