"""One line for each item: what became of it, and what comes next."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from worker.engine.delivery.delivery import Delivered
from worker.engine.in_flight import Running
from worker.engine.item_log import MAX_ERROR, Choice, ItemLog
from worker.item.item import Item
from worker.item.outcome import Outcome, failure
from worker.item.retry import Backoff, retry_policy
from worker.openiap.workitem import Workitem
from worker.telemetry.log import Log, Sink

AGAIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def told(
    outcome: Outcome,
    delivered: Delivered | None = None,
    *,
    choice: Choice = "all",
    maxretries: int | None = None,
    collector: Sink | None = None,
    **item: Any,
) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    log = Log("info", write=lambda level, line: lines.append((level, line)))
    log.use(collector)
    workitem = Workitem(id="5f0c", wiq="invoices", retries=1, **item)
    running = Running(workitem, popped=0.0, popped_at=AGAIN, epoch=1)
    if maxretries is not None:
        running.item = Item(workitem, files=None, log=log, started=AGAIN, maxretries=maxretries)
    ItemLog(choice, log).finished(running, outcome, delivered or Delivered("applied"), 0.31249)
    return lines


WHO = "queue=invoices item=5f0c"


def test_a_success_says_how_long_it_took() -> None:
    (line,) = told(Outcome("successful"), name="Invoice 12")
    rest = 'name="Invoice 12" attempt=2 outcome=successful seconds=0.312'
    assert line == ("info", f"item done {WHO} {rest}")


def test_a_name_that_says_nothing_is_not_shown() -> None:
    ((_, line),) = told(Outcome("successful"), name="New work item")
    assert "name=" not in line


def test_a_level_that_is_changed_on_the_way_holds_for_items_that_are_done() -> None:
    lines: list[str] = []
    log = Log("warn", write=lambda _, line: lines.append(line))
    item_log = ItemLog("all", log)
    running = Running(Workitem(id="5f0c", wiq="invoices"), popped=0.0, popped_at=AGAIN, epoch=1)
    said = []
    for level in ("warn", "info", "warn"):
        log.set_level(level)
        item_log.finished(running, Outcome("successful"), Delivered("applied"), 0.1)
        said.append(len(lines))
    assert said == [0, 1, 1]


def test_collectors_get_the_lines_of_items_that_are_done() -> None:
    collected: list[str] = []

    class Collector:
        def export_line(self, level: str, line: str) -> None:
            collected.append(line)

    told(Outcome("successful"), collector=Collector())
    assert collected == [f"item done {WHO} attempt=2 outcome=successful seconds=0.312"]


@pytest.mark.parametrize("chosen", ["server", "handler"])
def test_a_retry_says_when_it_comes_again(chosen: str) -> None:
    at = AGAIN if chosen == "handler" else None
    delivered = Delivered("applied", state="new", nextrun=AGAIN if chosen == "server" else None)
    ((level, line),) = told(Outcome("application", None, "ValueError: x", retry_at=at), delivered)
    assert level == "info"
    assert line.startswith("item will be tried again")
    assert "again=2026-01-02T03:04:05.000Z" in line
    assert 'error="ValueError: x"' in line


def ended(*, attempts: int | None) -> Outcome:
    """The outcome of a second attempt whose policy allows so many."""
    policy = retry_policy(Backoff("5s", attempts=attempts))
    return failure(
        ConnectionError("away"), attempt=2, policy=policy, now=AGAIN, chance=random.Random(1)
    )


@pytest.mark.parametrize(
    ("maxretries", "allowed", "left"), [(5, 3, 1), (3, 6, 1), (4, None, 2), (None, 3, 1)]
)
def test_a_retry_says_how_many_attempts_queue_and_policy_leave(
    maxretries: int | None, allowed: int | None, left: int
) -> None:
    delivered = Delivered("applied", state="new")
    ((_, line),) = told(ended(attempts=allowed), delivered, maxretries=maxretries)
    assert f" attempts_left={left} " in line


def test_attempts_that_the_policy_counts_are_said_to_be_used_up() -> None:
    ((level, line),) = told(ended(attempts=2), Delivered("applied", state="failed"), maxretries=9)
    assert level == "warn"
    assert 'why="no attempts are left"' in line


def test_a_retry_without_a_time_says_who_chooses_it() -> None:
    ((_, line),) = told(Outcome("application", None, "x"), Delivered("applied", state="new"))
    assert 'again="by the queue\'s delay"' in line


@pytest.mark.parametrize(
    ("outcome", "state", "why"),
    [
        (Outcome("business", None, "no VAT id"), "failed", "a business error is not tried again"),
        (Outcome("application", None, "no VAT id"), "failed", "no attempts are left"),
        (Outcome("failed", None, "no VAT id"), "failed", "it would fail again"),
    ],
)
def test_what_failed_for_good_is_a_warning_and_says_why(
    outcome: Outcome, state: str, why: str
) -> None:
    ((level, line),) = told(outcome, Delivered("applied", state=state))
    assert level == "warn"
    assert line.startswith("item failed for good")
    assert f'why="{why}"' in line
    assert 'error="no VAT id"' in line


def test_what_is_handed_back_says_why_and_what_waits_says_nothing() -> None:
    ((level, line),) = told(Outcome("released", None, "the worker stops"))
    assert (level, line.split(" queue")[0]) == ("info", "item handed back")
    assert 'why="the worker stops"' in line
    assert told(Outcome("released", None, "key is busy"), Delivered("applied", parked=True)) == []


@pytest.mark.parametrize("result", ["gone", "fenced", "refused"])
def test_what_the_server_did_not_take_is_said_elsewhere(result: Any) -> None:
    assert told(Outcome("successful"), Delivered(result)) == []


def test_the_setting_chooses() -> None:
    failed = Outcome("business", None, "x")
    assert told(Outcome("successful"), choice="failures") == []
    assert told(Outcome("released", None, "x"), choice="failures") == []
    assert len(told(failed, choice="failures")) == 1
    assert told(failed, choice="none") == []


def test_secrets_are_masked_and_no_line_is_forged_or_endless() -> None:
    message = "bad\nERROR all is lost password=hunter2-and-more " + "y" * 10_000
    ((_, line),) = told(Outcome("business", None, message), name="x\x1b[31m token=abcdef123456789")
    assert "hunter2" not in line
    assert "abcdef123" not in line
    assert line.isprintable()
    assert len(line) < MAX_ERROR + 300
