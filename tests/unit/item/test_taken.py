"""What a taken item says of what it has not, and of what goes wrong inside of what it has."""

from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker import Item
from worker.item.block import Block
from worker.item.taken import Taken
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log


class Torn(Taken):
    """One with a property that does not work."""

    @property
    def total(self) -> Any:
        return cast(Any, self.payload).sum


def torn() -> Torn:
    log = Log("error", write=lambda level, line: None)
    item = Item(Workitem(id="1", wiq="q"), files=None, log=log, started=datetime.now(UTC))
    return Torn(cast(Block, SimpleNamespace(item=item, end=lambda ending: Future[Any]())))


def test_what_a_property_raises_is_not_taken_for_a_missing_name() -> None:
    with pytest.raises(AttributeError, match="'dict' object has no attribute 'sum'"):
        torn().total  # noqa: B018
    with pytest.raises(AttributeError, match="'Torn' object has no attribute 'totl'"):
        cast(Any, torn()).totl  # noqa: B018
