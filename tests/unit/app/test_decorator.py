"""What is declared around handlers, and what is refused at start, word for word."""

from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Annotated, Any

import pytest

from tests.cases import each
from worker import Event, Item, Resource, Router, handler, lifespan, middleware, on_start
from worker.app.application import Application
from worker.app.lifespan import Lifespans
from worker.app.middleware_chain import chain_of
from worker.app.registry import Registry
from worker.app.signature import FITTING, signature_of
from worker.engine.delivery.delivery import Delivered
from worker.engine.item_events import events_of
from worker.errors import HandlerError
from worker.item.outcome import Outcome
from worker.telemetry.log import Log

LOG = Log("error", write=lambda level, line: None)


class Database: ...


async def plain(payload: dict) -> None: ...


def refusal(deed: Callable[[], object]) -> str:
    with pytest.raises(HandlerError) as at:
        deed()
    return str(at.value).replace("test_declaring.", "").replace("<locals>.", "")


def test_a_handler_without_a_queue_is_refused() -> None:
    assert refusal(lambda: handler(plain)) == (
        "Handler plain: the queue is missing; write @handler(QUEUE)."
    )
    assert refusal(lambda: handler("")(plain)) == (
        "Handler plain: queue = ''; allowed: the name of a work item queue."
    )


def test_an_unknown_parameter_type_is_refused() -> None:
    async def work(payload: dict, pages: Database) -> None: ...

    assert refusal(lambda: signature_of(work, name="m.work")) == (
        f"Handler m.work: parameter pages (of type Database) cannot be filled; allowed: {FITTING}."
    )


def test_what_stands_around_handlers_is_refused_by_name() -> None:
    async def no_generator() -> Database:
        return Database()

    async def no_type():
        yield Database()

    async def wants_item(item: Item) -> AsyncIterator[Database]:
        yield Database()

    async def asks(item: Item, size: int) -> AsyncIterator[None]:
        yield

    @handler("q", middleware=[asks])
    async def work(payload: dict) -> None: ...

    async def needs_more(size: int) -> int:
        return size

    @handler("q")
    async def resourceful(n: Annotated[int, Resource(needs_more)]) -> None: ...

    @lifespan
    async def one() -> AsyncIterator[Database]:
        yield Database()

    where = "test_what_stands_around_handlers_is_refused_by_name"
    assert refusal(lambda: lifespan(no_generator)) == (
        f"Lifespan {where}.no_generator is no async generator; write async def with one yield."
    )
    assert refusal(lambda: lifespan(no_type)) == (
        f"Lifespan {where}.no_type does not say what it provides;"
        " annotate it -> AsyncIterator[TYPE]."
    )
    assert refusal(lambda: Lifespans([lifespan(wants_item)], log=LOG)) == (
        f"Lifespan {where}.wants_item: parameter item (of type Item) cannot be filled;"
        " allowed: Client, State, or a type that a lifespan provides."
    )
    assert refusal(lambda: Lifespans([one, one], log=LOG)) == (
        f"Lifespan {where}.one provides Database, which {where}.one provides already."
    )
    signature = signature_of(work.function, name="work")
    assert refusal(lambda: chain_of(work, signature)) == (
        f"Middleware {where}.asks: parameter size (of type int) cannot be filled;"
        " allowed: Item, Client, State, or a type that a lifespan provides."
    )
    signature = signature_of(resourceful.function, name="work")
    assert refusal(lambda: chain_of(resourceful, signature)).startswith(
        f"Resource {where}.needs_more of handler "
    )
    assert refusal(lambda: on_start(lambda: None)).endswith(
        "must be a function that takes one Event."
    )
    assert refusal(lambda: handler("q", middleware=["timed"])(plain)) == (
        "Middleware 'timed': give a function that returns an async context manager, or an async"
        " generator function with one yield."
    )


def test_a_handler_without_anything_around_it_has_no_plan() -> None:
    declared = handler("q")(plain)
    assert chain_of(declared, signature_of(plain, name="plain")) is None


def test_routers_prefix_tag_and_wrap_what_they_include() -> None:
    async def outer_ware(item: Item) -> AsyncIterator[None]:
        yield

    async def inner_ware(item: Item) -> AsyncIterator[None]:
        yield

    outer = Router(prefix="a-", tags=("a",), middleware=[outer_ware], concurrency=3)
    inner = Router(prefix="b-", tags=("b",), middleware=[inner_ware])

    @inner.handler("q")
    async def work(payload: dict) -> None: ...

    @outer.handler("p", tags=("own",), concurrency=5)
    async def other(payload: dict) -> None: ...

    single = handler("s")(plain)
    module = ModuleType("elsewhere")
    vars(module).update(single=single)
    outer.include(inner, module)
    found = {one.options.queue: one.options for one in outer}
    assert sorted(found) == ["a-b-q", "a-p", "a-s"]
    names = [ware.name.rpartition(".")[2] for ware in found["a-b-q"].middleware]
    assert names == ["outer_ware", "inner_ware"]
    assert found["a-b-q"].tags == ("a", "b")
    assert found["a-p"].concurrency == 5
    assert found["a-p"].tags == ("a", "own")
    assert (found["a-s"].concurrency, found["a-b-q"].concurrency) == (3, 3)
    application = Application.of(outer, inner, work, other)
    assert sorted(one.options.queue for one in application) == sorted(found)
    assert len(Registry(application)) == 3
    assert refusal(lambda: inner.include(outer)).endswith("cannot include itself.")
    assert refusal(lambda: outer.include("module")).startswith("include('module'): allowed:")


def test_an_application_takes_each_declaration_once() -> None:
    @middleware
    async def ware(item: Item) -> AsyncIterator[None]:
        yield

    @on_start
    def hook(event: Event) -> None: ...

    declared = handler("q")(plain)
    application = Application.of(ware, hook, declared)
    application.add([ware, hook, declared, 5, "text"])
    assert (list(application), application.middleware, application.hooks) == (
        [declared],
        [ware],
        [hook],
    )


def test_a_registry_knows_what_the_lifespans_of_its_application_provide() -> None:
    @lifespan
    async def database() -> AsyncIterator[Database]:
        yield Database()

    async def asks(payload: dict, database: Database) -> None: ...

    (registered,) = Registry(Application.of(database, handler("q")(asks)))
    assert [p.source for p in registered.signature.parameters] == ["payload", "resource"]
    assert "cannot be filled" in refusal(lambda: Registry([handler("q")(asks)]))


@each(
    ("outcome", "delivered", "limited", "events"),
    [
        (Outcome("successful", {}), Delivered("applied", state="successful"), False, ("success",)),
        (Outcome("business"), Delivered("applied", state="failed"), False, ("failed",)),
        (Outcome("application"), Delivered("applied", state="new"), False, ("retry",)),
        (
            Outcome("application"),
            Delivered("applied", state="failed"),
            False,
            ("failed", "exhausted"),
        ),
        (Outcome("failed"), Delivered("applied", state="failed"), False, ("failed",)),
        (Outcome("failed"), Delivered("applied", state="failed"), True, ("failed", "exhausted")),
        (Outcome("successful", {}), Delivered("fenced"), False, ("error",)),
        (Outcome("released"), Delivered("fenced"), False, ()),
        (Outcome("released"), Delivered("applied", state="new"), False, ()),
    ],
)
def test_ends_and_their_events(outcome, delivered, limited, events) -> None:
    assert events_of(outcome, delivered, limited=limited) == events


def declared(**options: Any) -> None:
    @handler("q", **options)
    def work(payload: dict[str, Any]) -> None: ...


async def no_manager(item: Item) -> None: ...


@pytest.mark.parametrize("option", ["tags", "files", "codes"])
def test_one_text_is_not_taken_for_its_letters(option: str) -> None:
    with pytest.raises(HandlerError) as caught:
        declared(**{option: "*.pdf"})
    assert str(caught.value) == (
        f"Handler declared.<locals>.work: {option} = '*.pdf'; allowed: a list of texts."
    )


def test_what_cannot_stand_around_a_handler_is_refused() -> None:
    with pytest.raises(HandlerError, match=r"work: middleware = <function no_manager at .*>; allo"):
        declared(middleware=no_manager)
    with pytest.raises(HandlerError, match=r"^Middleware no_manager: give a function that returns"):
        declared(middleware=[no_manager])
    with pytest.raises(HandlerError, match=r"^Router: tags = 'billing'; allowed: a list of texts"):
        Router(tags="billing")  # type: ignore[arg-type]
    with pytest.raises(HandlerError) as caught:
        Resource(5)  # type: ignore[arg-type]
    assert str(caught.value) == "Resource(5): allowed: a function or a class."


def test_a_rule_that_is_none_is_refused_by_its_value() -> None:
    with pytest.raises(HandlerError) as caught:
        declared(retry=5)
    assert str(caught.value) == (
        "Handler declared.<locals>.work: retry = 5; allowed: a Backoff, Never, or a dict from"
        " exception classes to those."
    )


def test_a_handler_with_a_yield_is_refused() -> None:
    def pages(payload: dict[str, Any]) -> Iterator[int]:
        yield 1

    with pytest.raises(HandlerError) as caught:
        handler("q")(pages)
    assert str(caught.value) == (
        "@handler('q'): test_a_handler_with_a_yield_is_refused.<locals>.pages has a yield; a"
        " handler returns its result."
    )
