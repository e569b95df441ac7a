"""A command's client is patient with the server's rate limit, and else as it is."""

from typing import Any, cast

import pytest

from tests.unit.virtualloop import in_virtual_time
from worker.cli.shared.client import patient
from worker.openiap.client import Client
from worker.openiap.errors import RateLimited, ServerError
from worker.openiap.types import Capabilities


class Refusing:
    """Refuses so many calls."""

    capabilities = Capabilities("scripted")

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left, self.calls = error, times, 0

    async def count(self, collection: str, query: Any) -> int:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return 7


def test_a_call_goes_again_while_the_rate_limit_refuses_it() -> None:
    server = Refusing(RateLimited("30 per second"), 3)
    assert in_virtual_time(patient(cast("Client", server)).count("workitems", {})) == 7
    assert server.calls == 4


def test_any_other_refusal_comes_at_once() -> None:
    server = Refusing(ServerError("no"), 1)
    with pytest.raises(ServerError):
        in_virtual_time(patient(cast("Client", server)).count("workitems", {}))
    assert server.calls == 1


def test_what_is_no_call_is_passed_on() -> None:
    assert patient(cast("Client", Refusing(ServerError(""), 0))).capabilities.name == "scripted"
