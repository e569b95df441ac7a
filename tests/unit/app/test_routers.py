"""Routers: what they share reaches all that they include, and their listeners are found."""

from types import ModuleType
from typing import Any

import pytest

from worker import Router, handler, on_change, on_message, schedule
from worker.app.application import Application
from worker.app.decorator import DEFAULT_TIMEOUT
from worker.app.rate import Rate
from worker.errors import HandlerError


async def order(payload: dict[str, Any]) -> None: ...


def by_queue(router: Router) -> dict[str, Any]:
    return {one.options.queue: one.options for one in router}


def test_a_routers_defaults_reach_what_it_includes_unless_that_says_otherwise() -> None:
    outer = Router(rate="100/min", concurrency=2, timeout="1m", store=False)
    inner = Router(prefix="in-", concurrency=5)
    said = handler("said", rate="1/s", timeout=DEFAULT_TIMEOUT, store=True)(order)
    plain = schedule("0 6 * * *")(handler("plain", tags=("own",))(order))
    inner.include(handler("deep")(order))
    outer.include(said, plain, inner)
    for _ in range(2):
        found = by_queue(outer)
        assert sorted(found) == ["in-deep", "plain", "said"]
        assert (found["said"].rate, found["said"].concurrency) == (Rate(1, 1), 2)
        assert (found["said"].timeout, found["said"].store) == (DEFAULT_TIMEOUT, True)
        assert (found["plain"].rate, found["plain"].concurrency) == (Rate(100, 60), 2)
        assert (found["plain"].tags, len(found["plain"].schedules)) == (("own",), 1)
        assert (found["plain"].timeout, found["plain"].hard_timeout) == (60, 90)
        assert (found["in-deep"].rate, found["in-deep"].concurrency) == (Rate(100, 60), 5)
    assert plain.options.rate is None, "what is declared elsewhere is not changed there"


def test_a_default_that_an_included_handler_cannot_have_is_refused_by_name() -> None:
    with pytest.raises(HandlerError, match=r"Handler order: memory and cpu limits need process"):
        Router(memory="64MB").include(handler("q")(order))


def test_listeners_of_routers_are_found_once_with_the_prefix_of_their_queues() -> None:
    outer, inner = Router(prefix="a-"), Router(prefix="b-")

    @inner.on_message("letters")
    async def letter(data: dict[str, Any]) -> None: ...

    @inner.on_message(topics=["orders.#"], concurrency=2)
    async def paid(data: dict[str, Any]) -> None: ...

    @outer.on_change("invoices", paths=["$.state"])
    def changed(document: dict[str, Any]) -> None: ...

    module = ModuleType("elsewhere")
    vars(module)["note"] = on_message("notes")(lambda data: None)
    vars(module)["again"] = vars(module)["note"]
    outer.include(inner, module, on_change("people")(lambda document: None))
    assert (letter.queue, paid.topics, paid.concurrency) == ("b-letters", ("orders.#",), 2)
    application = Application.of(letter, paid, changed, inner, outer)
    assert sorted(one.place for one in application.listeners) == [
        "changes in invoices",
        "changes in people",
        "message queue a-b-letters",
        "message queue a-notes",
        "topics orders.#",
    ]
    with pytest.raises(HandlerError, match="on_message: nothing to listen to"):
        outer.on_message()
    with pytest.raises(HandlerError, match="allowed: a handler, a listener, a Router, or a module"):
        outer.include(5)  # type: ignore[arg-type]


def test_parameters_that_nothing_fills_are_refused_where_the_handler_is_declared() -> None:
    def named(payload: dict[str, Any], **more: int) -> None: ...

    def several(*payloads: dict[str, Any]) -> None: ...

    def first(payload: dict[str, Any], /) -> None: ...

    for function, text in (
        (named, r"named: parameter \*\*more cannot be filled; allowed: a payload"),
        (several, r"several: parameter \*payloads cannot be filled"),
        (first, "first: parameter payload is positional-only; handlers are called by keyword"),
    ):
        with pytest.raises(HandlerError, match=text):
            handler("q")(function)
