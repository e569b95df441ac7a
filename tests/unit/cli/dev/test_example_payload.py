"""The payload that ``dev`` proposes is one that the handler takes."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from worker.app.signature import signature_of
from worker.cli.dev.example_payload import example_payload


class Colour(Enum):
    RED = "red"


class Line(BaseModel):
    text: str
    price: Decimal


class Order(BaseModel):
    number: str = Field(min_length=1)
    kind: Literal["a", "b"]
    colour: Colour
    quantity: int = Field(gt=4)
    due: date
    id: UUID
    lines: list[Line] = Field(min_length=1)
    first: Line
    perhaps: int | None
    flag: bool
    comment: str = ""


@dataclass
class Plain:
    name: str
    size: float


async def order(order: Order) -> None: ...


async def plain(plain: Plain) -> None: ...


async def anything(payload: dict[str, Any]) -> None: ...


async def nothing() -> None: ...


@pytest.mark.parametrize("function", [order, plain])
def test_the_handler_takes_it(function: Any) -> None:
    signature = signature_of(function, name="x")
    signature.payload_for(example_payload(signature))


@pytest.mark.parametrize("function", [anything, nothing])
def test_where_anything_goes_it_is_empty(function: Any) -> None:
    assert example_payload(signature_of(function, name="x")) == {}


def test_only_what_is_needed_is_proposed() -> None:
    assert example_payload(signature_of(plain, name="x")) == {"name": "text", "size": 1}
