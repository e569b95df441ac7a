"""Items have names: those that their handler gives them, unless the push has one."""

from typing import Any

import pytest
from pydantic import BaseModel

from worker import handler
from worker.app.payload import MOST_OF_A_NAME
from worker.errors import HandlerError
from worker.item.push import ContractError, PushOptions, pushes_to


class Invoice(BaseModel):
    number: str


@handler("invoices", name=lambda invoice: f"Invoice {invoice.number}")
async def book(invoice: Invoice) -> None:
    """Book."""


def names(payloads: list[Any], **options: Any) -> list[str]:
    return [push.name for push in book.pushes(payloads, PushOptions(**options))]


def test_the_handler_names_its_items_by_the_validated_payload() -> None:
    assert names([Invoice(number="4711"), {"number": "12"}]) == ["Invoice 4711", "Invoice 12"]


def test_a_name_of_the_push_wins() -> None:
    assert names([{"number": "4711"}], name="urgent") == ["urgent"]


def test_follow_ups_are_named_as_well() -> None:
    (push,) = pushes_to(book, [Invoice(number="4711")], {})
    assert push.name == "Invoice 4711"


def test_a_payload_without_a_model_is_given_as_it_is() -> None:
    @handler("plain", name=lambda payload: payload["n"])
    async def plain(payload: dict[str, str]) -> None:
        """Do."""

    (push,) = plain.pushes([{"n": "one"}], PushOptions())
    assert push.name == "one"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda invoice: invoice.nothing, "raised AttributeError"),
        (lambda invoice: 12, "is 12; allowed: text"),
        (lambda invoice: " ", "is ' '; allowed: text"),
    ],
)
def test_what_is_no_name_is_refused_where_it_is_pushed(function: Any, said: str) -> None:
    @handler("invoices", name=function)
    async def odd(invoice: Invoice) -> None:
        """Do."""

    with pytest.raises(ContractError, match=r"The name of an item of .*odd") as raised:
        odd.pushes([{"number": "1"}], PushOptions())
    assert said in str(raised.value)


def test_a_long_name_is_cut() -> None:
    (name,) = names([{"number": "4" * 10_000}])
    assert len(name) <= MOST_OF_A_NAME + 40


def test_a_text_is_no_function_of_the_payload() -> None:
    with pytest.raises(HandlerError, match="name = 'book'; allowed: a function of the payload"):
        handler("q", name="book")(lambda payload: None)  # type: ignore[arg-type]
