"""Declaring handlers: what is taken, and the exact sentence for what is not."""

import sqlite3
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from typing_extensions import TypedDict

from worker import Client, Item, handler
from worker.app.registry import Registry, chosen, load_modules
from worker.app.signature import FITTING, signature_of
from worker.errors import HandlerError


class Invoice(BaseModel):
    number: str


@dataclass
class Point:
    x: int


class Row(TypedDict):
    name: str


def test_a_handler_stays_an_ordinary_function() -> None:
    @handler("q")
    def double(payload: dict) -> dict:
        """Doubles."""
        return {"x": payload["x"] * 2}

    assert double({"x": 2}) == {"x": 4}
    assert double.__doc__ == "Doubles."
    assert double.name.endswith("double")


def test_the_defaults_fit_the_kind_of_function() -> None:
    @handler("q")
    async def one() -> None: ...

    @handler("q", timeout=None, concurrency=3)
    def two() -> None: ...

    assert (one.options.execution, one.options.concurrency) == ("async", 8)
    assert (one.options.timeout, one.options.hard_timeout) == (3600, 3630)
    assert (two.options.execution, two.options.concurrency) == ("thread", 3)
    assert (two.options.timeout, two.options.hard_timeout) == (None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "Handler work: concurrency = 0; allowed: 1 to 10000."),
        (
            {"timeout": "5x"},
            "Handler work: timeout = '5x' is not a duration:"
            " seconds, or text like 250ms, 90s, 5m, 1h30m, 2d.",
        ),
        ({"timeout": 0}, "Handler work: timeout = 0; allowed: more than 0, or None."),
        (
            {"timeout": "10s", "hard_timeout": "5s"},
            "Handler work: hard_timeout = 5s is shorter than timeout = 10s.",
        ),
        (
            {"memory": "1GB"},
            "Handler work: memory and cpu limits need process=True;"
            " a thread cannot be held to them.",
        ),
        (
            {"memory": "1 potato", "process": True},
            "Handler work: memory = '1 potato'; allowed: bytes, or text like 512MB, 2GB.",
        ),
        (
            {"retry": {"x": 1}},
            "Handler work: retry: 'x' is not an exception class.",
        ),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    def work() -> None: ...

    work.__qualname__ = "work"
    with pytest.raises(HandlerError) as caught:
        handler("q", **options)(work)
    assert str(caught.value) == message


def test_a_handler_without_a_queue_is_refused() -> None:
    def work() -> None: ...

    work.__qualname__ = "work"
    with pytest.raises(HandlerError) as caught:
        handler(" ")(work)
    assert str(caught.value) == "Handler work: queue = ' '; allowed: the name of a work item queue."


@pytest.mark.parametrize(
    ("kind", "given", "received"),
    [
        (Invoice, {"number": "1"}, Invoice(number="1")),
        (Point, {"x": "5"}, Point(5)),
        (Row, {"name": "a"}, {"name": "a"}),
        (dict, {"a": 1}, {"a": 1}),
        (Mapping[str, Any], {"a": 1}, {"a": 1}),
        (dict[str, int], {"a": "1"}, {"a": 1}),
    ],
)
def test_the_payload_comes_as_the_type_that_was_asked_for(
    kind: Any, given: dict, received: object
) -> None:
    def work(payload, item: Item, client: Client) -> None: ...

    work.__annotations__["payload"] = kind
    signature = signature_of(work, name="work")
    assert [p.source for p in signature.parameters] == ["payload", "item", "client"]
    assert signature.payload_for(given) == received


def test_a_payload_that_does_not_fit_is_refused_by_the_validator() -> None:
    def work(payload: Invoice) -> None: ...

    with pytest.raises(ValidationError):
        signature_of(work, name="work").payload_for({"number": 5})


def refused(function: Any) -> str:
    with pytest.raises(HandlerError) as caught:
        signature_of(function, name="work")
    return str(caught.value)


def test_parameters_that_cannot_be_filled_are_refused_by_name() -> None:
    def unknown(payload: dict, where: sqlite3.Connection) -> None: ...

    def untyped(thing) -> None: ...

    def star(*args: dict) -> None: ...

    def unresolved(a: "Nowhere") -> None: ...  # noqa: F821

    assert (
        refused(unknown) == f"Handler work: parameter where (of type Connection) cannot be filled;"
        f" allowed: {FITTING}."
    )
    assert (
        refused(untyped) == f"Handler work: parameter thing (without a type) cannot be filled;"
        f" allowed: {FITTING}."
    )
    assert refused(star) == f"Handler work: parameter *args cannot be filled; allowed: {FITTING}."
    assert (
        refused(unresolved)
        == "Handler work: its annotations cannot be read: name 'Nowhere' is not defined."
    )


def test_a_parameter_with_a_default_may_stay_unfilled() -> None:
    def work(payload: dict, count: int = 3) -> None: ...

    assert [p.name for p in signature_of(work, name="work").parameters] == ["payload"]


def test_two_handlers_for_one_queue_are_refused_by_name() -> None:
    @handler("q")
    def one() -> None: ...

    @handler("q")
    def two() -> None: ...

    with pytest.raises(HandlerError) as caught:
        Registry([one, two])
    assert str(caught.value) == (
        f"Queue q has two handlers: {one.name} and {two.name}; only one can work it."
    )


def test_one_handler_works_the_queue_that_the_agent_names() -> None:
    @handler("q")
    def one() -> None: ...

    @handler("p")
    def two() -> None: ...

    assert [r.queue for r in chosen(Registry([one]), ("elsewhere",))] == ["elsewhere"]
    assert [r.queue for r in chosen(Registry([one, two]), ("p",))] == ["p"]
    with pytest.raises(HandlerError) as caught:
        chosen(Registry([one, two]), ("elsewhere",))
    assert str(caught.value) == "No handler for queue elsewhere; queues with one: p, q."


@pytest.fixture
def folder(tmp_path: Path):
    before = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = before[0]
    for name in set(sys.modules) - before[1]:
        del sys.modules[name]


def loading(folder: Path, *names: str) -> str:
    with pytest.raises(HandlerError) as caught:
        load_modules(names, folder=folder)
    return str(caught.value)


def test_modules_are_found_in_the_working_folder(folder: Path) -> None:
    (folder / "good_handlers.py").write_text(
        "from worker import handler\n\n@handler('q')\ndef work(payload: dict) -> None: ...\n"
    )
    (found,) = load_modules(["good_handlers"], folder=folder)
    assert found.name == "good_handlers.work"
    assert load_modules(["good_handlers.py"], folder=folder) == [found]


def test_a_module_that_does_not_import_is_named_with_its_error(folder: Path) -> None:
    bad = folder / "bad_handlers.py"
    bad.write_text("import os\n\n1 / 0\n")
    assert loading(folder, "bad_handlers") == (
        f"Module bad_handlers does not import: ZeroDivisionError: division by zero ({bad}, line 3)."
    )
    (folder / "exiting.py").write_text("raise SystemExit(3)\n")
    assert loading(folder, "exiting").startswith("Module exiting does not import: SystemExit: 3")
    assert loading(folder, "missing_module").startswith(
        "Module missing_module does not import:"
        " ModuleNotFoundError: No module named 'missing_module'"
    )


def test_a_module_without_handlers_is_refused(folder: Path) -> None:
    (folder / "empty_handlers.py").write_text("x = 1\n")
    assert loading(folder, "empty_handlers") == (
        "Module empty_handlers has no handlers; mark functions with @handler(QUEUE)."
    )
    assert loading(folder) == (
        "No handlers: name their modules with --handlers MODULE, or in the setting handlers."
    )
