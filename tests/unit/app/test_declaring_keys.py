"""Keys and rates as ``@handler`` takes them, and what it refuses."""

from typing import Any

import pytest

from tests.cases import each
from worker.app.decorator import handler
from worker.app.rate import ALLOWED, Rate
from worker.app.router import Router
from worker.errors import HandlerError


async def order(payload: dict[str, Any]) -> None: ...


def customer(payload: dict[str, Any]) -> str:
    return str(payload["customer"])


async def later(payload: dict[str, Any]) -> str:
    return ""


def test_nothing_is_declared_by_default() -> None:
    options = handler("orders")(order).options
    assert (options.key, options.per_key, options.rate, options.rate_per_key) == (
        None,
        1,
        None,
        None,
    )


def test_keys_and_rates_are_declared() -> None:
    options = handler("orders", key=customer, per_key=3, rate="5/10s", rate_per_key="1/s")(
        order
    ).options
    assert options.key is customer
    assert (options.per_key, options.rate, options.rate_per_key) == (3, Rate(5, 10), Rate(1, 1))


def test_a_routers_rate_is_that_of_each_of_its_handlers() -> None:
    router = Router(rate="100/min")
    assert router.handler("orders")(order).options.rate == Rate(100, 60)


@each(
    ("options", "text"),
    [
        ({"rate": "0/min"}, f"rate = '0/min'; allowed: {ALLOWED}."),
        ({"rate": 100}, f"rate = 100; allowed: {ALLOWED}."),
        (
            {"key": customer, "rate_per_key": "x"},
            f"rate_per_key = 'x'; allowed: {ALLOWED}.",
        ),
        ({"key": customer, "per_key": 0}, "per_key = 0; allowed: 1 to 100, or None."),
        ({"key": customer, "per_key": True}, "per_key = True; allowed: 1 to 100, or None."),
        ({"key": customer, "per_key": 101}, "per_key = 101; allowed: 1 to 100, or None."),
        (
            {"per_key": 3},
            "per_key needs a key, for example key=lambda payload: payload.customer.",
        ),
        (
            {"rate_per_key": "1/s"},
            "rate_per_key needs a key, for example key=lambda payload: payload.customer.",
        ),
        (
            {"key": customer, "per_key": None},
            "with per_key = None the key has no effect; give rate_per_key too.",
        ),
        (
            {"key": "customer"},
            "key = 'customer'; allowed: a plain function of the payload, for example"
            " lambda payload: payload.customer.",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(options: dict[str, Any], text: str) -> None:
    with pytest.raises(HandlerError) as refused:
        handler("orders", **options)(order)
    assert str(refused.value) == f"Handler order: {text}"


def test_a_key_that_would_have_to_be_awaited_is_refused() -> None:
    with pytest.raises(HandlerError, match="allowed: a plain function of the payload"):
        handler("orders", key=later)(order)  # type: ignore[arg-type]
