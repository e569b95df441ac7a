"""Commands show whatever stands in OpenIAP: whoever wrote it, and whatever it is."""

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.unit.documents import ANY_JSON, written
from worker.cli.queues.shown import COLUMNS as QUEUE_COLUMNS
from worker.cli.queues.shown import note as queue_note
from worker.cli.queues.shown import row as queue_row
from worker.cli.queues.shown import shown as queue_shown
from worker.cli.schedules import _more as schedule_note
from worker.cli.schedules import _row as schedule_row
from worker.cli.schedules import _shown as schedule_shown
from worker.cli.shared.item_page import show_item
from worker.cli.shared.item_view import moment as shown_moment
from worker.cli.shared.item_view import show_items
from worker.cli.shared.output import print_json, show_noted
from worker.engine.scheduler.records import records_of
from worker.management.items.views import detail_of, item_of
from worker.management.queues.types import queue_of
from worker.management.schedules.types import schedule_of
from worker.openiap.values import iso

STATES = ("new", "processing", "successful", "failed")
DRAWN = settings(max_examples=25)
"""Pages are dear to draw."""
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ITEM = {
    "_id": "i",
    "name": "n",
    "state": "new",
    "retries": 1,
    "priority": 2,
    "lastrun": iso(NOW),
    "nextrun": iso(NOW),
    "username": "bob",
    "wiq": "q",
    "payload": {"a": [1, {"b": None}]},
    "files": [{"filename": "f", "_id": "f1"}],
    "errormessage": "no",
    "errorsource": "line 1",
    "errortype": "application",
    "openiap_worker_waits": {"why": "waits", "until": iso(NOW)},
    "_created": iso(NOW),
    "_modified": iso(NOW),
}
QUEUE = {"_id": "w", "name": "q", "maxretries": 3, "retrydelay": 0, "success_wiq": "next"}
RECORD = {
    "_id": "/schedule/q/s",
    "_type": "schedule",
    "queue": "q",
    "schedule": "s",
    "expression": "* * * * *",
    "tz": "UTC",
    "missed": "",
    "since": iso(NOW),
    "last": iso(NOW),
}


@contextmanager
def time_zone(name: str) -> Iterator[None]:
    """Be in another part of the world."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def page() -> Console:
    return Console(file=io.StringIO(), width=80)


@DRAWN
@given(st.lists(written(ITEM), max_size=3))
def test_items_are_listed_whatever_they_are(documents: list[dict[str, Any]]) -> None:
    show_items(page(), [item_of(one) for one in documents])


@DRAWN
@given(written(ITEM))
def test_an_item_is_shown_whatever_it_is(document: dict[str, Any]) -> None:
    shown = detail_of(document, {})
    show_item(page(), shown)
    json.loads(json.dumps(shown.model_dump()))


@DRAWN
@given(written(QUEUE))
def test_queues_are_listed_whatever_they_are(document: dict[str, Any]) -> None:
    queue = queue_of(document, NOW)
    show_noted(page(), QUEUE_COLUMNS, [queue_row(queue)], [queue_note(queue)])
    print_json(queue_shown(queue))


@given(written(RECORD))
def test_schedules_are_listed_whatever_they_are(document: dict[str, Any]) -> None:
    for record in records_of([document]).values():
        schedule = schedule_of(record, NOW)
        schedule_row(schedule)
        schedule_note(schedule)
        json.dumps(schedule_shown(schedule))


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "UTC"])
@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00+14:00"]
)
def test_moments_at_the_ends_of_time_are_shown_in_every_time_zone(zone: str, moment: str) -> None:
    with time_zone(zone):
        assert shown_moment(moment)


@given(ANY_JSON)
def test_whatever_is_json_is_printed_as_json(value: Any) -> None:
    print_json(value)
