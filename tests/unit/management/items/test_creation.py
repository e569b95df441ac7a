"""Items that operators make take what a push takes."""

from typing import Any, cast

import pytest

from worker.item.metadata import KEY
from worker.item.unique import Unique
from worker.management.errors import ValidationError
from worker.management.items.creation import Creation
from worker.management.items.types_of_changes import NewItem
from worker.openiap.client import Client


def push_of(**given: Any) -> Any:
    return Creation(cast(Client, None), "", None).push_of("q", NewItem(**given))


def test_an_item_may_expire_and_let_go_of_its_key_when_it_is_worked() -> None:
    push = push_of(payload={"n": 1}, unique="a", unique_while="waiting", expires="1h")
    assert push.unique == Unique("a", waiting=True)
    assert push.payload[KEY]["expires"] > 0
    with pytest.raises(ValidationError, match="expires = '5m' is before the item is due"):
        push_of(delay="1h", expires="5m")
    with pytest.raises(ValidationError, match="unique_while needs unique"):
        push_of(unique_while="waiting")
