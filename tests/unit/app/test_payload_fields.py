"""Several parameters as the payload's fields: who is one, on the worker's side and the pusher's."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ValidationError

from worker import ContractError, Item, handler
from worker.app.checked import checked
from worker.app.contracts import contract_of
from worker.app.payload import payload_json, reader_of
from worker.app.registry import Registered
from worker.app.signature import pushed_kind, signature_of
from worker.errors import HandlerError
from worker.item.push import PushOptions


class Invoice(BaseModel):
    number: str


class Booking(BaseModel):
    voucher: str


@dataclass
class Config:
    region: str


@handler("q")
async def book(key: str, payload: dict[str, Any], item: Item, tags: list[str] = []) -> str:  # noqa: B006
    return key


@handler("q")
async def one(n: int) -> int | None:
    return n


@handler("q")
async def provided(invoice: Invoice, config: Config) -> list[Invoice]:
    return [invoice]


@handler("q")
async def mixed(key: str, config: Config) -> Invoice | Literal["none"]:
    return "none"


def sources(function: Any, *resources: Any) -> list[str]:
    found = signature_of(function, name="work", resources=frozenset(resources))
    return [parameter.source for parameter in found.parameters]


def test_what_types_do_not_inject_is_a_field_of_the_payload() -> None:
    signature = signature_of(book.function, name="book")
    assert sources(book.function) == ["field", "field", "item", "field"]
    read = signature.payload_for({"key": "a", "payload": {"x": 1}, "more": 2})
    assert (read.key, read.payload, read.tags) == ("a", {"x": 1}, [])
    other = signature.payload_for({"key": "b", "payload": {}})
    assert other.tags is not read.tags
    with pytest.raises(ValidationError, match="payload"):
        signature.payload_for({"key": "a"})


def test_one_parameter_is_the_whole_payload_only_where_it_is_an_object() -> None:
    def whole(payload: dict[str, Any], count: int = 3) -> None: ...

    def three(count: int = 3, *, item: Item) -> None: ...

    assert sources(whole) == ["payload"]
    assert sources(one.function) == ["field"]
    assert sources(three) == ["item"]


def test_what_a_lifespan_provides_is_no_field() -> None:
    assert sources(provided.function, Config) == ["payload", "resource"]
    assert sources(provided.function) == ["field", "field"]
    assert sources(mixed.function, Config) == ["field", "resource"]


def test_a_parameter_without_a_type_is_refused_beside_fields_too() -> None:
    def work(key: str, payload: dict[str, Any], odd=3) -> None: ...

    with pytest.raises(HandlerError, match="parameter odd has no type"):
        signature_of(work, name="work")


def test_who_pushes_leaves_out_what_a_lifespan_may_provide() -> None:
    assert pushed_kind(provided.function) is Invoice
    assert payload_json(provided, {"number": "1"}) == {"number": "1"}
    both = {"invoice": {"number": "1"}, "config": {"region": "eu"}}
    assert payload_json(provided, both) == both
    assert payload_json(mixed, {"key": "a"}) == {"key": "a"}
    with pytest.raises(ContractError, match=r"payload: Field required"):
        payload_json(book, {"key": "a"})
    with pytest.raises(ContractError, match=r"key: Input should be a valid string"):
        payload_json(book, {"key": 5, "payload": {}})


def test_the_contract_has_the_fields_and_where_the_result_is() -> None:
    contract = contract_of(book)
    assert contract["payload"]["required"] == ["key", "payload"]
    assert contract["result"]["properties"]["result"] == {"type": "string"}
    resources = frozenset({Config})
    known = Registered(mixed, signature_of(mixed.function, name="mixed", resources=resources))
    assert contract_of(known.handler, known.signature)["payload"]["required"] == ["key"]


def test_a_result_comes_back_as_it_was() -> None:
    assert reader_of(book)({"key": "a", "result": "b"}) == "b"
    assert reader_of(one)({"n": 1, "result": None}) is None
    assert reader_of(provided)({"result": [{"number": "1"}]}) == [Invoice(number="1")]
    # What may be no object is always kept apart, whatever lies below it.
    assert reader_of(mixed)({"number": "8", "result": {"number": "1"}}) == Invoice(number="1")
    assert reader_of(mixed)({"number": "8", "result": "none"}) == "none"
    with pytest.raises(ContractError, match="The result does not fit"):
        reader_of(book)({"key": "a", "result": {"b": 1}})


def test_a_skipped_item_has_no_result() -> None:
    @handler("q")
    async def booked(invoice: Invoice) -> Booking: ...

    assert reader_of(book)({"key": "a"}) is None
    assert reader_of(booked)({"number": "1"}) is None
    with pytest.raises(ContractError, match="The result does not fit"):
        reader_of(booked)({"number": "1", "voucher": 5})


def test_key_and_name_functions_see_the_fields() -> None:
    @handler("q", name=lambda given: f"{given.key} of {len(given.payload)}")
    async def named(key: str, payload: dict[str, Any]) -> None: ...

    (push,) = named.pushes([{"key": "a", "payload": {"x": 1}}], PushOptions())
    assert push.name == "a of 1"


def test_handlers_like_these_are_checked_as_others_are() -> None:
    assert len(checked([book])) == 1
