"""A payload with very much wrong in it costs little, whatever the model; and values are read as
pydantic reads them."""

import threading
import time
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from tests.cases import each
from worker.app.decorator import handler
from worker.app.payload import payload_json
from worker.item.bounded_read import MOST_PROBLEMS, MOST_WAYS, BoundedReader
from worker.item.bounded_schema import nests_unions
from worker.item.error_text import described, problems_of, source_of
from worker.item.outcome import invalid_payload
from worker.item.push import ContractError
from worker.item.type_form import form_of
from worker.openiap.large import LARGE, is_large
from worker.openiap.values import json_text

MANY = 20_000


class Row(BaseModel):
    amount: int
    text: str = ""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    amount: int = Field(alias="theAmount")


class Other(BaseModel):
    model_config = ConfigDict(extra="forbid")

    day: date


class Lists(BaseModel):
    amounts: list[int]


class Dicts(BaseModel):
    amounts: dict[str, int | bool | Decimal]


class Rows(BaseModel):
    rows: list[Row]


class RowsByName(BaseModel):
    rows: dict[str, Row]


class Unions(BaseModel):
    one: Strict | Other | Row


class Sets(BaseModel):
    amounts: set[int] | tuple[int, ...]


class Tree(BaseModel):
    amount: int = 0
    left: "Tree | None" = None
    right: "Tree | None" = None


class Plus(BaseModel):
    inside: "Plus | Minus | None" = None
    plus: int = 0


class Minus(BaseModel):
    inside: "Plus | Minus | None" = None
    minus: int = 0


class Tagged(BaseModel):
    kind: Literal["tagged"]
    inside: "Annotated[Tagged | Leaf, Field(discriminator='kind')]"


class Leaf(BaseModel):
    kind: Literal["leaf"]


@dataclass
class Shop:
    rows: list[Row]


class Typed(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    rows: list[Row]


def tree(depth: int) -> dict[str, Any]:
    if not depth:
        return {"amount": "x"}
    return {"amount": "x", "left": tree(depth - 1), "right": tree(depth - 1)}


def chain(depth: int, inmost: dict[str, Any]) -> dict[str, Any]:
    found = inmost
    for _ in range(depth):
        found = {"inside": found}
    return found


names = {f"name{n}": "x" for n in range(MANY)}
wrong_rows = [{"amount": "x"} for _ in range(MANY)]


WRONG = [
    (Lists, {"amounts": ["x"] * MANY}, "amounts.0: Input should be a valid integer"),
    (Lists, {"amounts": [1] * MANY + ["x"] * MANY}, f"amounts.{MANY}: Input should be a"),
    (Dicts, {"amounts": names}, "amounts.name0.int: Input should be a valid integer"),
    (Rows, {"rows": wrong_rows}, "rows.0.amount: Input should be a valid integer"),
    (RowsByName, {"rows": {key: {} for key in names}}, "rows.name0.amount: Field required"),
    (Strict, names, f"payload: {MANY:,} fields, of which most are not permitted"),
    (Unions, {"one": names}, f"one.Strict: {MANY:,} fields, of which most are not permitted"),
    (Sets, {"amounts": ["x"] * MANY}, "amounts.set[int].0: Input should be a valid integer"),
    (Tree, tree(13), "amount: Input should be a valid integer"),
    (Shop, {"rows": wrong_rows}, "rows.0.amount: Input should be a valid integer"),
    (Typed, {"rows": wrong_rows}, "rows.0.amount: Input should be a valid integer"),
    (Typed, {"rows": [], **names}, "payload: 20,001 fields, of which most are not permitted"),
    (Plus, chain(60, {"plus": "x"}), "it can be read in too many ways to try them all"),
]


@each(("kind", "payload", "named"), WRONG)
def test_however_much_is_wrong_a_few_problems_are_named(
    kind: Any, payload: dict[str, Any], named: str
) -> None:
    began = time.thread_time()
    with pytest.raises(ValidationError) as caught:
        form_of(kind).read(payload)
    assert caught.value.error_count() <= MOST_PROBLEMS
    outcome = invalid_payload(caught.value, handler="h")
    assert time.thread_time() - began < 5
    assert outcome.kind == "business"
    assert outcome.message.startswith("Payload of h is invalid: ")
    assert named in outcome.message
    assert "not looked at" not in outcome.message
    assert "\u2060" not in outcome.message
    assert len(outcome.message) < 2_000


@each(("kind", "payload", "named"), WRONG)
def test_what_is_large_never_comes_to_have_many_problems(
    kind: Any, payload: dict[str, Any], named: str
) -> None:
    whole = form_of(kind)

    class Unbounded:
        """Only what the second validator is made of; the first is not to be asked."""

        core_schema, validator = whole.adapter.core_schema, whole.adapter.validator

    adapter: Any = Unbounded()
    form = replace(whole, adapter=adapter, aliased=False)
    with pytest.raises(ValidationError) as caught:
        form.read(payload)
    text = json_text(payload).encode() if whole.json_rules else None
    with pytest.raises(ValidationError) as caught:
        form._bounded.read(payload, text, by_name=None)
    assert caught.value.error_count() <= MOST_PROBLEMS


def test_a_small_payload_names_all_that_is_wrong() -> None:
    with pytest.raises(ValidationError) as caught:
        form_of(Rows).read({"rows": [{}, {"amount": 1}, {"amount": "x"}]})
    assert problems_of(caught.value) == (
        "rows.0.amount: Field required; rows.2.amount: Input should be a valid integer, unable to"
        " parse string as an integer (given 'x')"
    )


def test_an_error_that_others_made_is_not_spelled_out_in_full() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[int]).validate_python(["x"] * MANY)
    assert problems_of(caught.value) == "payload: 20,000 values do not fit, too many to be named"


def test_a_large_value_is_shown_in_part_and_its_secrets_are_not() -> None:
    payload = {"rows": [{"password": "hunter2-but-long", "n": n} for n in range(200_000)]}
    with pytest.raises(ValidationError) as caught:
        form_of(Row).read({"amount": payload})
    began = time.thread_time()
    text = problems_of(caught.value)
    assert time.thread_time() - began < 0.2
    assert "hunter2" not in text
    assert len(text) < 500


@each(
    ("kind", "payload"),
    [
        (Lists, {"amounts": [1, "2", 3.0]}),
        (Dicts, {"amounts": {"a": 1, "b": True, "c": "1.50"}}),
        (Unions, {"one": {"theAmount": 1}}),
        (Unions, {"one": {"day": "2026-11-28"}}),
        (Unions, {"one": {"amount": 1, "day": "2026-11-28"}}),
        (Sets, {"amounts": [1, 1, 2]}),
        (Tree, {"left": {"amount": 2}, "right": {"left": {}}}),
        (Plus, chain(6, {"minus": 2})),
        (Shop, {"rows": [{"amount": "1"}]}),
        (Typed, {"rows": [{"amount": "1"}]}),
        (Tagged, {"kind": "tagged", "inside": {"kind": "leaf"}}),
    ],
)
def test_what_fits_is_read_as_pydantic_reads_it(kind: Any, payload: dict[str, Any]) -> None:
    form = form_of(kind)
    assert form.read(payload, large=True) == form.adapter.validate_python(payload)
    assert form.read(payload, large=True) == form.read(payload, large=False)


def test_a_strict_model_reads_json_however_large() -> None:
    class Day(BaseModel):
        model_config = ConfigDict(strict=True, extra="forbid")

        day: date
        inside: "list[Day]" = Field(default_factory=list)

    payload = {"day": "2026-11-28", "inside": [{"day": "2026-11-29"}] * 5_000}
    found = form_of(Day).read(payload)
    assert found.inside[-1].day == date(2026, 11, 29)


def test_only_a_union_that_contains_itself_counts_its_ways() -> None:
    def winding(kind: Any) -> bool:
        return nests_unions(TypeAdapter(kind).core_schema)

    assert winding(Plus)
    assert winding(list[Minus])
    assert not any(map(winding, (Tree, Tagged, Unions, Dicts, list[Tree | Row])))


def test_ways_are_allowed_for_each_character() -> None:
    reader = BoundedReader(TypeAdapter(list[Plus | Row]), (), settled=False, plain=False)
    rows = ",".join(["{}"] * (MOST_WAYS + 10))
    text = f"[{rows}]".encode()
    assert len(reader.read(None, text, by_name=None)) == MOST_WAYS + 10


@pytest.mark.parametrize(
    "value",
    [
        {"a": "x" * LARGE},
        {"a": list(range(LARGE // 8))},
        {"a": [[[[]]] * LARGE]},
        dict.fromkeys(range(LARGE)),
        Rows.model_construct(rows=[Row(amount=n) for n in range(LARGE // 8)]),
    ],
)
def test_what_is_large_is_seen_without_a_look_at_all_of_it(value: object) -> None:
    assert is_large(value)


@pytest.mark.parametrize("value", [None, 1, {}, {"a": [1, {"b": "text"}]}, Row(amount=1)])
def test_what_is_small_is_not_large(value: object) -> None:
    assert not is_large(value)


def test_what_contains_itself_is_looked_at_once() -> None:
    value: dict[str, Any] = {}
    value["itself"] = value
    assert is_large(value)


def test_an_error_of_a_handlers_own_reading_is_not_spelled_out_in_full() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[int]).validate_python(["x"] * MANY)
    assert described(caught.value) == (
        "ValidationError: payload: 20,000 values do not fit, too many to be named"
    )
    assert source_of(caught.value).endswith("too many to be named\n")
    assert len(source_of(caught.value)) < 2_000


def test_a_push_of_very_much_that_is_wrong_names_a_few() -> None:
    @handler("rows")
    async def work(rows: Rows) -> None: ...

    with pytest.raises(ContractError, match=r"rows\.0\.amount: Input should be a valid integer"):
        payload_json(work, {"rows": wrong_rows})
    with pytest.raises(ContractError, match="too many ways"):
        payload_json(handler("plus")(takes_plus), chain(60, {"plus": "x"}))


async def takes_plus(plus: Plus) -> None: ...


def test_other_threads_have_their_turns_while_a_large_payload_is_read() -> None:
    payload = {"rows": [{"amount": n} for n in range(200_000)]}
    form_of(Rows).read(payload)
    took: list[float] = []

    def read() -> None:
        began = time.perf_counter()
        form_of(Rows).read(payload)
        took.append(time.perf_counter() - began)

    reader = threading.Thread(target=read)
    last, longest = time.perf_counter(), 0.0
    reader.start()
    while not took:
        time.sleep(0.001)
        now = time.perf_counter()
        last, longest = now, max(longest, now - last)
    reader.join()
    assert longest < 0.6 * took[0]
