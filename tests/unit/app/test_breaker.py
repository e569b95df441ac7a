"""Breakers that cannot be are refused where they are declared."""

from typing import Any

import pytest

from tests.cases import each
from worker import BusinessError, handler
from worker.app.breaker import Breaker
from worker.app.checked import checked
from worker.errors import HandlerError


@each(
    ("arguments", "text"),
    [
        ({"name": "pay ments"}, "Breaker 'pay ments': allowed: a name"),
        ({"name": "a.b"}, "allowed: a name"),
        ({"on": "ConnectionError"}, "on = 'ConnectionError'; allowed: exception classes"),
        ({"on": (int,)}, "is not an exception class"),
        ({"on": (BusinessError,)}, "BusinessError says something of its item"),
        ({"failures": 0}, "failures = 0; allowed: 1 to"),
        ({"failures": True}, "failures = True; allowed: 1 to"),
        ({"within": "soon"}, "Breaker payments: within = "),
        ({"pause": 0}, "pause = 0; allowed: more than 0"),
        ({"pause": "2h"}, "most = '30m' is shorter than pause = '2h'"),
    ],
)
def test_a_breaker_that_cannot_be_is_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(HandlerError) as refused:
        Breaker(**{"name": "payments", **arguments})
    assert text in str(refused.value)


@pytest.mark.parametrize("given", ["payments", ["payments"], Breaker("payments"), [Breaker] * 2])
def test_what_is_no_list_of_breakers_is_refused(given: Any) -> None:
    with pytest.raises(HandlerError, match="breakers"):
        handler("orders", breakers=given)(lambda payload: None)


def test_two_of_one_name_are_one() -> None:
    with pytest.raises(HandlerError, match="two are called payments"):

        @handler("orders", breakers=[Breaker("payments"), Breaker("payments")])
        async def twice(payload: dict[str, Any]) -> None: ...

    @handler("orders", breakers=[Breaker("payments")])
    async def orders(payload: dict[str, Any]) -> None: ...

    @handler("refunds", breakers=[Breaker("payments", failures=9)])
    async def refunds(payload: dict[str, Any]) -> None: ...

    with pytest.raises(HandlerError, match="its breaker payments is another than that of"):
        checked([orders, refunds])
