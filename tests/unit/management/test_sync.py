"""Blocking code has all that the services have."""

import inspect
from typing import Any

import pytest

from worker import management
from worker.management import sync

NOT_FOR_BLOCKING_CODE = {
    # What they return is awaited itself.
    *("Items.plan_batch", "Items.watch"),
    # Parts of what blocking code gets as a whole, for pages that ask for each in its own time.
    *("Items.get_page", "Queues.get_documents", "Queues.get_waiting", "Queues.get_workers"),
    "Workers.get_fleet",
}


@pytest.mark.parametrize("name", sync.__all__)
def test_every_method_of_a_service_is_there_with_its_arguments_and_words(name: str) -> None:
    service: Any = getattr(management, name)
    blocking: Any = getattr(sync, name)
    own = {
        method
        for method, found in vars(service).items()
        if inspect.isfunction(found) and not method.startswith("_")
    }
    assert {one for one in own if not hasattr(blocking, one)} == {
        one for one in own if f"{name}.{one}" in NOT_FOR_BLOCKING_CODE
    }
    for method in own & set(vars(blocking)):
        ours, theirs = getattr(blocking, method), getattr(service, method)
        assert inspect.signature(ours) == inspect.signature(theirs)
        assert inspect.getdoc(ours) == inspect.getdoc(theirs)
        assert not inspect.iscoroutinefunction(ours)
    ours, theirs = inspect.signature(blocking).parameters, inspect.signature(service).parameters
    assert list(ours)[1:] == list(theirs)[1:]
