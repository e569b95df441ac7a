"""A valid model can be pushed to its own handler and is read by it; results bear the same names."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PrivateAttr,
    RootModel,
    Secret,
    SecretStr,
    computed_field,
    field_serializer,
)
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from tests.cases import each
from worker import ContractError, contracts_of, handler
from worker.app.contracts import Contracts
from worker.app.payload import payload_json
from worker.app.signature import signature_of
from worker.item.new_item import Push
from worker.item.result import success
from worker.openiap.values import json_text


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    day: date
    id: UUID
    price: Decimal
    tags: tuple[str, ...] = ()


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    customer_name: str
    lines: list["Camel"] = Field(default_factory=list)


class Named(BaseModel):
    model_config = ConfigDict(validate_by_name=True, alias_generator=to_camel)
    customer_name: str


class ReadOtherwise(BaseModel):
    customer_name: str = Field(validation_alias="customerName")


class WrittenOtherwise(BaseModel):
    customer_name: str = Field(serialization_alias="customerName")


class BothOtherwise(BaseModel):
    customer_name: str = Field(validation_alias="in", serialization_alias="out")


class Choices(BaseModel):
    name: str = Field(validation_alias=AliasChoices(AliasPath("a", "b"), "given", "called"))


class ByPath(BaseModel):
    name: str = Field(validation_alias=AliasPath("customer", "name"))


class InnerOtherwise(BaseModel):
    rows: list[BothOtherwise]
    by_name: dict[str, BothOtherwise]
    one: BothOtherwise | None = None


class Forbids(BaseModel):
    model_config = ConfigDict(extra="forbid")
    net: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gross(self) -> int:
        return self.net * 2


class Computes(BaseModel):
    net: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gross(self) -> int:
        return self.net * 2


class WithJson(BaseModel):
    rows: Json[list[int]]


class LeavesOut(BaseModel):
    number: str
    note: str = Field(exclude=True)


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    lives: int = 1


class Pets(BaseModel):
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]]
    first: Cat | Dog


class Numbers(RootModel[dict[str, Decimal]]):
    pass


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    content: T


@dataclass
class Plain:
    day: date
    rows: list[Decimal] = field(default_factory=list)


@pydantic_dataclass
class Aliased:
    customer_name: Annotated[str, Field(alias="customerName")]


class Row(TypedDict):
    day: date


class Private(BaseModel):
    n: int
    _seen: int = PrivateAttr(default=0)


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    n: int


MODELS: list[tuple[Any, Any, dict[str, Any]]] = [
    (
        Strict,
        Strict(day=date(2026, 1, 2), id=UUID(int=1), price=Decimal("1.10"), tags=("a",)),
        {"day": "2026-01-02", "id": str(UUID(int=1)), "price": "1.10", "tags": ["a"]},
    ),
    (
        Camel,
        Camel(customerName="Ada", lines=[Camel(customerName="Eve")]),
        {"customerName": "Ada", "lines": [{"customerName": "Eve", "lines": []}]},
    ),
    (Named, Named(customer_name="Ada"), {"customerName": "Ada"}),
    (ReadOtherwise, ReadOtherwise(customerName="Ada"), {"customerName": "Ada"}),
    (WrittenOtherwise, WrittenOtherwise(customer_name="Ada"), {"customer_name": "Ada"}),
    (BothOtherwise, BothOtherwise(**{"in": "Ada"}), {"in": "Ada"}),
    (Choices, Choices(called="Ada"), {"given": "Ada"}),
    (ByPath, ByPath(customer={"name": "Ada"}), {"name": "Ada"}),
    (
        InnerOtherwise,
        InnerOtherwise(
            rows=[BothOtherwise(**{"in": "a"})],
            by_name={"x": BothOtherwise(**{"in": "b"})},
            one=BothOtherwise(**{"in": "c"}),
        ),
        {"rows": [{"in": "a"}], "by_name": {"x": {"in": "b"}}, "one": {"in": "c"}},
    ),
    (Forbids, Forbids(net=1), {"net": 1}),
    (Computes, Computes(net=1), {"net": 1, "gross": 2}),
    (WithJson, WithJson(rows="[1,2]"), {"rows": "[1,2]"}),
    (
        Pets,
        Pets(pets=[Dog(), Cat()], first=Dog(lives=3)),
        {
            "pets": [{"kind": "dog", "lives": 1}, {"kind": "cat", "lives": 9}],
            "first": {"kind": "dog", "lives": 3},
        },
    ),
    (Numbers, Numbers({"a": Decimal("1.50")}), {"a": "1.50"}),
    (Box[Strict | None], Box[Strict | None](content=None), {"content": None}),
    (Plain, Plain(date(2026, 1, 2), [Decimal("1.0")]), {"day": "2026-01-02", "rows": ["1.0"]}),
    (Aliased, Aliased(customerName="Ada"), {"customerName": "Ada"}),
    (Row, Row(day=date(2026, 1, 2)), {"day": "2026-01-02"}),
    (Cat | Dog, Dog(lives=2), {"kind": "dog", "lives": 2}),
    (Annotated[Cat | Dog, Field(discriminator="kind")], Cat(), {"kind": "cat", "lives": 9}),
    (Strict | None, Strict(day=date(2026, 1, 2), id=UUID(int=1), price=Decimal(1)), {}),
    (Private, Private(n=1), {"n": 1}),
    (Extra, Extra(n=1, more="x"), {"n": 1, "more": "x"}),
]


def handler_of(kind: Any) -> Any:
    async def work(payload: Any) -> Any: ...

    work.__annotations__ = {"payload": kind, "return": kind}
    return handler("q")(work)


@each(("kind", "value", "stored"), MODELS)
def test_a_model_is_pushed_and_read_by_its_own_handler(
    kind: Any, value: Any, stored: dict[str, Any]
) -> None:
    declared = handler_of(kind)
    found = payload_json(declared, value)
    assert not stored or found == stored
    popped = json.loads(json_text(found))
    assert signature_of(declared.function, name="h").payload_for(popped) == value
    if kind is not ByPath:
        Contracts(contracts_of([declared])).check(Push("q", found))


@each(("kind", "value", "stored"), MODELS)
def test_a_result_has_the_names_of_a_payload_and_is_read(
    kind: Any, value: Any, stored: dict[str, Any]
) -> None:
    declared = handler_of(kind)
    payload = success({"input": 1}, value, handler="h").payload
    assert payload is not None
    assert payload == {"input": 1, **payload_json(declared, value)}
    if kind is not Extra and kind is not Numbers:  # what is below cannot be told from those
        assert declared.reader()(json.loads(json_text(payload))) == value
    next_one = {name: one for name, one in payload.items() if name != "input"}
    assert signature_of(declared.function, name="h").payload_for(next_one) == value


@each(("kind", "value", "stored"), MODELS)
def test_the_contract_of_a_result_names_what_is_stored(
    kind: Any, value: Any, stored: dict[str, Any]
) -> None:
    contract = contracts_of([handler_of(kind)])["queues"]["q"]["result"]
    if stored and "properties" in contract and kind is not ByPath:
        assert set(contract["properties"]) >= set(stored) - {"more"}


def test_fields_that_are_left_out_travel_to_the_handler_and_not_into_results() -> None:
    value = LeavesOut(number="1", note="for you")
    declared = handler_of(LeavesOut)
    assert payload_json(declared, value) == {"number": "1", "note": "for you"}
    assert signature_of(declared.function, name="h").payload_for({"number": "1", "note": "x"})
    assert success({}, value, handler="h").payload == {"number": "1"}


def test_items_stored_by_the_names_of_fields_are_read_too() -> None:
    read = signature_of(handler_of(Camel).function, name="h").payload_for
    assert read({"customer_name": "Ada"}) == Camel(customerName="Ada")
    assert handler_of(Camel).reader()({"customer_name": "Ada"}) == Camel(customerName="Ada")


def test_a_payload_that_is_json_already_may_be_pushed_to_a_strict_model() -> None:
    given = {"day": "2026-01-02", "id": str(UUID(int=1)), "price": "1.10"}
    assert payload_json(handler_of(Strict), given) == {**given, "tags": []}


class Login(BaseModel):
    user: str
    password: SecretStr


class Blob(BaseModel):
    raw: bytes


class Big(BaseModel):
    rows: list[dict[str, int]]


class Real(BaseModel):
    x: float


class Loose(BaseModel):
    data: dict[str, Any]


class Zoo(BaseModel):
    animal: Computes


class Lion(Computes):
    mane: bool = True


class Doubles(BaseModel):
    n: Annotated[int, BeforeValidator(lambda n: n * 2)]


class Texts(BaseModel):
    either: UUID | str


class Shown(BaseModel):
    amount: Decimal

    @field_serializer("amount")
    def _euros(self, amount: Decimal) -> str:
        return f"{amount} EUR"


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Direction(Enum):
    UP = (0, 1)


class Odd(BaseModel):
    way: Direction | None = None
    pin: Secret[int] | None = None
    code: type | None = None


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: Login(user="u", password=SecretStr("hunter2")), "password: "),
    (lambda: Blob(raw=b"\xff"), "raw: no JSON form"),
    (lambda: Big(rows=[{"a": 2**53 + 1}]), "rows.0.a: 9007199254740993 is beyond"),
    (lambda: Real(x=float("nan")), "x: nan has no JSON form"),
    (lambda: Loose(data={"x": b"a"}), "data.x: bytes have no JSON form"),
    (lambda: Loose(data={"s": SecretStr("hunter2")}), "data.s: stars would be stored"),
    (lambda: Zoo(animal=Lion(net=1)), "animal: Lion(net=1, mane=True, gross=2) (Lion) would be"),
    (lambda: Texts(either=str(UUID(int=1))), "either: '00000000-0000-0000-0000-000000000001'"),
]


@each(("make", "text"), REFUSED)
def test_what_would_be_read_otherwise_is_refused(make: Callable[[], Any], text: str) -> None:
    value = make()
    with pytest.raises(ContractError) as caught:
        payload_json(handler_of(type(value)), value)
    assert f"has no JSON form: {text}" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    outcome = success({}, value, handler="h")
    assert outcome.kind == "failed"
    assert f"h: the result: {text}" in outcome.message
    assert "hunter2" not in outcome.message


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Open.model_validate({"at": date(2026, 1, 1)}), "at: datetime.date(2026, 1, 1)"),
        (lambda: Odd(way=Direction.UP), "its type does not read what it writes (way"),
        (lambda: Odd(pin=Secret[int](5)), "pin: stars would be stored"),
        (lambda: Odd(code=int), "code: no JSON form: Unable to serialize unknown type"),
    ],
)
def test_what_no_type_would_read_back_is_refused_with_what_to_write(
    make: Callable[[], Any], text: str
) -> None:
    value = make()
    with pytest.raises(ContractError) as caught:
        payload_json(handler_of(type(value)), value)
    assert f"has no JSON form: {text}" in str(caught.value)
    assert "write text" in str(caught.value) or "plain text" in str(caught.value)


def test_a_validator_that_changes_what_it_reads_again_is_told_to_who_pushes() -> None:
    with pytest.raises(ContractError, match=r"n: 2 \(int\) would be read as 4"):
        payload_json(handler_of(Doubles), {"n": 1})


def test_what_a_model_writes_of_its_own_accord_is_its_result() -> None:
    assert success({}, Shown(amount=Decimal(1)), handler="h").payload == {"amount": "1 EUR"}


def test_untyped_fields_follow_the_rule_for_untyped_values() -> None:
    value = Loose(data={"at": datetime(2026, 1, 1, 1, 1, 1, 1), "pair": (1, 2)})
    assert payload_json(handler_of(Loose), value) == {
        "data": {"at": "2026-01-01T01:01:01.000001", "pair": [1, 2]}
    }


def test_a_result_that_may_be_none_or_numbers_is_found_among_the_input() -> None:
    assert handler_of(Forbids | None).reader()({"input": "x", "net": 1}) == Forbids(net=1)
    assert handler_of(Forbids | None).reader()({"input": "x"}) is None
    assert handler_of(dict[str, int]).reader()({"input": "x", "n": 1}) == {"n": 1}
