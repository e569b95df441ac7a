"""Unique keys that a handler gives its pushes."""

from typing import Any

import pytest
from pydantic import BaseModel

from worker import ContractError, Router, handler, in_namespace
from worker.engine.execution.remote_pushes import push_from_message, push_to_message
from worker.errors import HandlerError
from worker.item.new_item import FollowUp
from worker.item.push import PushOptions
from worker.item.unique import Unique


class Invoice(BaseModel):
    number: int | None = None


@handler("q", unique=lambda invoice: invoice.number, unique_while="waiting")
async def book(invoice: Invoice) -> None: ...


def unique(payload: Any, **options: Any) -> Unique | None:
    (push,) = book.pushes([payload], PushOptions(**options))
    return push.unique


def test_a_push_has_its_handler_s_key_unless_it_has_its_own() -> None:
    assert unique(Invoice(number=7)) == Unique("7", waiting=True)
    assert unique(Invoice()) is None
    assert unique(Invoice(number=7), unique="mine") == Unique("mine")
    assert unique(Invoice(number=7), unique_while="unfinished") == Unique("7")
    with in_namespace("acme"):
        assert unique(Invoice(number=7)) == Unique("7", namespace="acme", waiting=True)
    router = Router(prefix="a-", unique=lambda payload: "k")
    assert router.handler("q")(book.function).options.unique is not None


def test_namespace_and_hold_survive_the_outbox_and_the_pipe() -> None:
    (push,) = book.pushes([Invoice(number=7)], PushOptions(namespace="acme"))
    assert push_from_message(push_to_message(push)) == push
    kept = FollowUp("1", "q", {}, unique=push.unique, parent="0")
    assert FollowUp.read(kept.kept()) == kept


@pytest.mark.parametrize("found", [True, 1.5, ["a"]])
def test_a_key_that_is_none_is_refused(found: Any) -> None:
    odd = handler("q", unique=lambda payload: found)(book.function)
    with pytest.raises(ContractError, match=r"The unique key of .* is .*; allowed: text, a whole"):
        odd.pushes([Invoice(number=1)], PushOptions())
    with pytest.raises(ContractError, match=r"The unique key of .* raised ZeroDivisionError"):
        handler("q", unique=lambda _: 1 // 0)(book.function).pushes([Invoice()], PushOptions())


def test_odd_options_are_refused() -> None:
    with pytest.raises(HandlerError, match="unique = 'number'; allowed: a plain function"):
        handler("q", unique="number")(book.function)  # type: ignore[arg-type]
    with pytest.raises(HandlerError, match=r"unique_while = 'waiting'; allowed: .* beside unique"):
        handler("q", unique_while="waiting")(book.function)
