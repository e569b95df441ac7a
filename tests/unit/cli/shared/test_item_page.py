"""The page of an item says in words what the worker keeps on it."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from worker.cli.shared.item_page import show_item, waiting
from worker.cli.shared.item_view import show_items
from worker.cli.shared.output import show_noted
from worker.engine.delivery.ending import Run, ending_of
from worker.engine.delivery.queue_rules import QueueRules
from worker.engine.delivery.release import handed_back
from worker.item.metadata import Metadata, joined
from worker.item.origin import DeadLetter, mark_for
from worker.item.outcome import Outcome, Waits
from worker.item.steps import Steps
from worker.management.items.service import Items
from worker.management.items.types import (
    ItemGetPayload,
    ItemWorker,
)
from worker.management.items.views import detail_of, item_of
from worker.openiap.errors import AccessDenied
from worker.openiap.workitem import Workitem

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
LATER = "2026-11-28T14:00:00.000Z"
LETTER = DeadLetter("a", "invoices", 3, "business", "no [red]number[/red]\x1b[31m", "NO_VAT", "")


def page(document: dict[str, Any], *, width: int = 100, worker: ItemWorker | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show_item(console, detail_of(document, {}, worker), utc=True, now=NOW)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_marks_are_words_and_no_part_of_the_payload() -> None:
    metadata = Metadata(
        checkpoint={"page": 3},
        progress={"share": 0.4, "text": "page 3 of 8", "at": "2026-11-28T11:59:00.000Z"},
        namespace="test",
        origin=mark_for(LETTER),
    )
    payload = joined({"größe": 1}, metadata)
    payload["openiap_worker"] |= {"headers": {"x-trace": "7", "evil": "[red]\x1b[0m"}}
    document = {"_id": "b", "state": "processing", "payload": payload}
    shown = page(document, width=200, worker=ItemWorker(name="vm-1", host="host.example"))
    assert "progress    40%, page 3 of 8, 2026-11-28 11:59:00 UTC" in shown
    assert "worker      vm-1 on host.example" in shown
    assert "checkpoint  kept, 10 Bytes" in shown
    assert "namespace   test" in shown
    assert (
        "comes from  item a of invoices, which failed after 3 attempts: business error:"
        " [NO_VAT] no [red]number[/red]\\x1b[31m" in shown
    )
    assert "Headers" in shown
    assert "x-trace  7" in shown
    assert "[red]\\x1b[0m" in shown
    assert "openiap_worker" not in shown
    assert '"größe": 1' in shown
    assert detail_of(document, {}).payload == payload, "for programs it is as it is"


def test_signals_are_words() -> None:
    steps, at = Steps("b"), NOW.timestamp()
    taken = {"since": at, "at": at, "json": "1", "doc": "s", "by": "[red]Ada\x1b[0m"}
    steps.add("signals", "approval #1", taken)
    steps.add("signals", "scan #1", {"since": at, "until": at, "at": at, "over": True})
    steps.add("signals", "scan #2", {"since": at})
    payload = joined({}, Metadata(steps=steps.content))
    shown = page({"_id": "b", "state": "new", "payload": payload}, width=200)
    assert "signals   approval: taken 2026-11-28T12:00:00.000Z, by [red]Ada\\x1b[0m" in shown
    assert "scan: none came in time, 2026-11-28T12:00:00.000Z" in shown
    assert "scan: waited for since 2026-11-28T12:00:00.000Z" in shown


@pytest.mark.parametrize("marks", [{"progress": {"share": "x"}}, {"origin": 3}, "odd", [1], None])
def test_odd_marks_stop_no_page(marks: object) -> None:
    shown = page({"_id": "b", "state": "new", "payload": {"n": 1, "openiap_worker": marks}})
    assert '"n": 1' in shown


@pytest.mark.parametrize("payload", [None, [1, "\x9b"], "text", 7])
def test_a_payload_that_is_no_object_is_shown_safely(payload: object) -> None:
    assert "\x9b" not in page({"_id": "b", "state": "new", "payload": payload})


WAITING = Waits("waits for its turn: key Ada", datetime(2026, 11, 28, 13, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            handed_back({"_id": "1", "retries": 0}, WAITING),
            "waits for its turn: key Ada; looked at again by itself at 2026-11-28 13:00:00 UTC",
        ),
        ({"state": "new", "nextrun": LATER, "retries": 0}, "due in 2h"),
        ({"state": "new", "nextrun": LATER, "retries": 1}, "tried again in 2h"),
        (
            {"state": "new", "nextrun": "2026-11-28T11:00:00.000Z"},
            "due: for the next worker that is free and works this queue",
        ),
        (
            {"state": "new"},
            "has no time at which it is due, so it is never popped; items retry gives it one",
        ),
        ({"state": "processing", "nextrun": LATER}, ""),
        ({"state": "failed"}, ""),
    ],
)
def test_why_an_item_does_not_run_is_said(document: dict[str, Any], words: str) -> None:
    assert waiting(detail_of(document, {}), NOW, utc=True) == words


class Stored:
    """One item, and workers' documents, in the place of a client."""

    def __init__(self, item: dict[str, Any], **workers: dict[str, Any]) -> None:
        self.item = item
        self.workers = workers

    async def query(self, collection: str, query: dict[str, Any], *rest: Any, **more: Any) -> Any:
        if collection == "workitems":
            return [self.item]
        document = self.workers.get("claims" if "items" in query else query.get("_id", ""))
        return [] if document is None else [document]


async def worker_of(client: Any) -> ItemWorker | None:
    return (await Items(client).get_one(ItemGetPayload(id="a"))).worker


async def test_the_worker_that_has_an_item_is_the_one_that_claims_it() -> None:
    workers = {"claims": {"_id": "vm-2", "host": "here"}, "vm-1": {"host": "there"}}
    source = "worker vm-1, attempt 1, 0.1 s\n…"
    item = {"_id": "a", "state": "processing", "retries": 1, "errorsource": source}
    failed = {**item, "state": "failed"}
    assert await worker_of(Stored(item, **workers)) == ItemWorker(name="vm-2", host="here")
    assert await worker_of(Stored(failed, **workers)) == ItemWorker(name="vm-1", host="there")
    assert await worker_of(Stored(item)) is None, "the source is of an earlier attempt"
    assert await worker_of(Stored(failed)) == ItemWorker(name="vm-1")
    assert await worker_of(Stored({"_id": "a", "state": "successful"})) is None


async def test_who_may_not_read_workers_is_shown_the_item_with_the_name_that_it_has() -> None:
    class Refusing(Stored):
        async def query(self, collection: str, *rest: Any, **more: Any) -> Any:
            if collection != "workitems":
                raise AccessDenied("no")
            return await super().query(collection, *rest, **more)

    failed = {"_id": "a", "state": "failed", "errorsource": "worker vm-1, attempt 1, 0.1 s\n…"}
    assert await worker_of(Refusing(failed)) == ItemWorker(name="vm-1")
    assert await worker_of(Refusing({"_id": "a", "state": "processing"})) is None


async def test_an_item_that_has_ended_names_its_worker_and_no_rescuer() -> None:
    rules, item = QueueRules("1", "q", maxretries=3), Workitem(id="a", wiq="q")
    done = Outcome("successful", {})
    for run, name in ((Run(item, 1, "me"), "me"), (Run(item, 1, "rescuer", ("dead",)), "dead")):
        ending = ending_of(run, done, rules, due=NOW, at=NOW)
        assert ending is not None
        stored = Stored({"_id": "a", "state": "successful", **ending.change["$set"]})
        assert await worker_of(stored) == ItemWorker(name=name)


LONG = "a-queue-whose-name-is-rather-long"


def test_a_list_fits_eighty_columns_and_leaves_nothing_out() -> None:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    one = {
        "_id": "6b0122f6b9da5a22be1c58c6",
        "name": "Invoice [red]7[/red]\n\x1b[31msecond",
        "wiq": LONG,
        "state": "failed",
        "errormessage": "no number " * 20,
        "_modified": "2026-11-20T10:00:01.000Z",
    }
    plain = {**one, "wiq": "q", "name": "", "errormessage": ""}
    show_items(console, [item_of(one), item_of(plain)], utc=True)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    heading, _, first, note, second = lines
    assert heading.split() == ["id", "state", "queue", "attempts", "changed"]
    assert first.rstrip().endswith("2026-11-20 10:00 UTC")
    assert note.startswith(f"  ({LONG}) Invoice [red]7[/red] \\x1b[31msecond: no n")
    assert note.endswith("…")
    assert second.startswith("6b0122f6b9da5a22be1c58c6  failed")


def test_where_not_even_a_line_fits_there_are_blocks() -> None:
    console = Console(file=io.StringIO(), width=30, color_system=None)
    show_noted(console, {"queue": "", "new": "number"}, [[LONG, 3]], ["then [b]x[/b]"])
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "then [b]x[/b]" in shown
    assert max(map(len, shown.splitlines())) <= 30
