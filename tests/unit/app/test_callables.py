"""Whatever can be called is a handler, or is refused at the decorator with what to write."""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional, Union

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from tests.cases import each
from worker import BusinessError, Client, Item, State, contracts_of, handler
from worker.app.registry import Registry
from worker.app.signature import signature_of
from worker.errors import HandlerError
from worker.testing.worker_test import WorkerTest


class Order(BaseModel):
    number: str


class Offer(BaseModel):
    name: str


class Row(TypedDict):
    n: int


@dataclass
class Line:
    text: str


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **arguments: Any) -> Any:
        return function(*args, **arguments)

    return inner


def blocking(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **arguments: Any) -> Any:
        return asyncio.run(function(*args, **arguments))

    return inner


def logged_async(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def inner(*args: Any, **arguments: Any) -> Any:
        return await function(*args, **arguments)

    return inner


async def base(order: Order, item: Item, factor: int = 2) -> dict[str, Any]:
    """Work an order."""
    await asyncio.sleep(0)
    if order.number == "bad":
        raise BusinessError("wrong", code="BAD")
    return {"seen": order.number, "factor": factor, "queue": item.queue}


def plain(order: Order, item: Item, factor: int = 2) -> dict[str, Any]:
    """Work an order."""
    if order.number == "bad":
        raise BusinessError("wrong", code="BAD")
    return {"seen": order.number, "factor": factor, "queue": item.queue}


def returning(order: Order, item: Item, factor: int = 2) -> Any:
    """Work an order."""
    return base(order, item, factor)


class Works:
    """Work an order."""

    async def __call__(self, order: Order, item: Item, factor: int = 2) -> dict[str, Any]:
        return await base(order, item, factor)


class PlainWorks:
    """Work an order."""

    def __call__(self, order: Order, item: Item, factor: int = 2) -> dict[str, Any]:
        return plain(order, item, factor)


class Office:
    @staticmethod
    async def static(order: Order, item: Item, factor: int = 2) -> dict[str, Any]:
        """Work an order."""
        return await base(order, item, factor)

    @classmethod
    def of_class(cls, order: Order, item: Item, factor: int = 2) -> dict[str, Any]:
        """Work an order."""
        return plain(order, item, factor)

    async def method(self, order: Order, item: Item, factor: int = 2) -> dict[str, Any]:
        """Work an order."""
        return await base(order, item, factor)


CALLABLES: list[tuple[Any, str, int]] = [
    (functools.partial(base, factor=3), "base", 3),
    (functools.partial(plain, factor=3), "plain", 3),
    (functools.partial(functools.partial(Office().method), factor=3), "Office.method", 3),
    (functools.partial(PlainWorks(), factor=3), "PlainWorks", 3),
    (Works(), "Works", 2),
    (PlainWorks(), "PlainWorks", 2),
    (Office.__dict__["static"], "Office.static", 2),
    (Office.static, "Office.static", 2),
    (Office.of_class, "Office.of_class", 2),
    (Office().method, "Office.method", 2),
    (logged(base), "base", 2),
    (logged(plain), "plain", 2),
    (logged(logged_async(base)), "base", 2),
    (logged_async(base), "base", 2),
    (blocking(base), "base", 2),
    (returning, "returning", 2),
    (handler("other")(base), "base", 2),
]


@pytest.mark.parametrize(("given", "name", "factor"), CALLABLES)
async def test_what_can_be_called_is_a_handler(
    given: Any, name: str, factor: int, worker_test: WorkerTest
) -> None:
    one = handler("r-q")(given)
    assert one.name == f"{__name__}.{name}"
    done = await worker_test(one, {"number": "7"})
    assert done.outcome.kind == "successful", done.outcome.message
    assert done.payload == {"number": "7", "seen": "7", "factor": factor, "queue": "r-q"}
    failed = await worker_test(one, {"number": "bad"})
    assert (failed.outcome.kind, failed.outcome.message) == ("business", "[BAD] wrong")
    invalid = await worker_test(one, {})
    assert invalid.outcome.message.startswith(f"Payload of {__name__}.{name} is invalid: number")
    here = await handler("q")(given).run(Order(number="8"))
    assert here["seen"] == "8"
    contract = contracts_of([one])["queues"]["r-q"]
    assert contract["payload"]["required"] == ["number"]
    assert contract["does"] == "Work an order."


def pages(order: Order) -> Any:
    yield 1


class Pages:
    async def __call__(self, order: Order) -> Any:
        yield 1


@each(
    ("given", "text"),
    [
        (
            Office.__dict__["of_class"],
            r"class method; write of_class = handler\('q'\)\(CLASS",
        ),
        (Office, "Office is not a function"),
        (functools.partial(pages), "pages has a yield"),
        (Pages(), "Pages.__call__ has a yield"),
        (logged(pages), None),
        (7, "7 is not a function"),
        (None, "None is not a function"),
        (property(lambda self: 1), "is not a function"),
        (dict.update, "dict.update is not written in Python; write a function"),
        (functools.singledispatch(logged(pages)), "first positional argument"),
        (functools.lru_cache(logged(pages)), "is cached, so it would not run for each item"),
        (contextlib.contextmanager(pages), "makes a context manager"),
    ],
)
def test_what_cannot_be_a_handler_is_refused(given: Any, text: str | None) -> None:
    if text is None:
        handler("q")(given)
        return
    with pytest.raises(HandlerError, match=text):
        handler("q")(given)


class InClass:
    @handler("q")
    async def work(self, payload: dict[str, Any]) -> None: ...


def test_a_method_under_the_decorator_is_refused_with_what_to_write() -> None:
    with pytest.raises(HandlerError, match=r"self \(without a type\).*handler\(QUEUE\)\(OBJECT"):
        Registry([InClass.work])


@pytest.mark.parametrize(
    ("kind", "payload", "seen"),
    [
        (Order | None, {"number": "7"}, "7"),
        (Optional[Order], {"number": "7"}, "7"),  # noqa: UP045 (as many write it)
        (Union[Offer, Order], {"number": "7"}, "7"),  # noqa: UP007
        (Offer | Order | None, {"name": "x"}, "Offer(name='x')"),
        (Row | None, {"n": 1}, "{'n': 1}"),
        (Line | None, {"text": "x"}, "Line(text='x')"),
        (dict[str, Any] | None, {"n": 1}, "{'n': 1}"),
        (dict, {"n": 1}, "{'n': 1}"),
        (Order | dict, {"n": 1}, "{'n': 1}"),
    ],
)
async def test_a_payload_with_a_default_is_filled(
    kind: Any, payload: dict[str, Any], seen: str, worker_test: WorkerTest
) -> None:
    def work(payload=None) -> dict:  # type: ignore[no-untyped-def, type-arg]
        return {"seen": payload.number if isinstance(payload, Order) else repr(payload)}

    work.__annotations__["payload"] = kind
    done = await worker_test(handler("q")(work), payload)
    assert done.payload is not None
    assert done.payload["seen"] == seen
    if kind not in (dict, Order | dict, dict[str, Any] | None):
        invalid = await worker_test(handler("q")(work), {"odd": 1})
        assert invalid.outcome.kind == "business"


@pytest.mark.parametrize(
    "kind", [..., Any, object, Order | int, list[Order], dict[str, Order] | str]
)
def test_a_payload_that_would_stay_empty_is_refused(kind: Any) -> None:
    def work(payload=None) -> None: ...  # type: ignore[no-untyped-def]

    if kind is not ...:
        work.__annotations__["payload"] = kind
    with pytest.raises(HandlerError, match="parameter payload"):
        signature_of(work, name="work")


def test_parameters_of_ones_own_keep_their_defaults_beside_a_payload() -> None:
    def work(payload: Order, factor=2, name: str = "x", many: list[int] | None = None): ...  # type: ignore[no-untyped-def]

    assert [p.name for p in signature_of(work, name="work").parameters] == ["payload"]


class Ledger: ...


def test_what_may_be_none_is_filled_where_it_is_there() -> None:
    def work(
        payload: Order | None = None,
        item: Item | None = None,
        client: Client | None = None,
        state: State | None = None,
        ledger: Ledger | None = None,
    ) -> None: ...

    def sources(resources: frozenset[Any]) -> list[str]:
        found = signature_of(work, name="work", resources=resources).parameters
        return [one.source for one in found]

    assert sources(frozenset()) == ["payload", "item", "client", "state"]
    assert sources(frozenset({Ledger})) == ["payload", "item", "client", "state", "resource"]


def test_annotations_that_cannot_be_read_are_refused_at_start() -> None:
    def work(payload: "asyncio.nothing") -> None: ...  # type: ignore[name-defined]

    with pytest.raises(HandlerError, match="its annotations cannot be read"):
        signature_of(work, name="work")
