"""What the outbox keeps of an item reads back as it was, whatever stands in its texts."""

import pytest

from worker.engine.outbox.rows import outcome_from, outcome_text, workitem_from, workitem_text
from worker.item.outcome import UNCHANGED, Outcome
from worker.openiap.values import parse_iso
from worker.openiap.workitem import Workitem

TEXTS = ["", "plain", 'quoted "\\ and\n\x00\x1f', "Größe 数 🙂", "half \ud800", "NaN, -Infinity"]


@pytest.mark.parametrize("text", TEXTS)
def test_an_item_reads_back_whatever_it_is_called(text: str) -> None:
    lastrun = parse_iso("2026-11-20T10:00:00.123Z")
    item = Workitem("65a1", text, priority=1, lastrun=lastrun, wiq=text, retries=3, username=text)
    kept = workitem_text(item)
    found = workitem_from(kept)
    assert (found.id, found.name, found.wiq, found.username) == ("65a1", text, text, text)
    assert (found.priority, found.retries, found.lastrun) == (1, 3, lastrun)
    assert kept.encode(), "SQLite takes what is UTF-8"


@pytest.mark.parametrize("text", TEXTS)
def test_an_outcome_reads_back_whatever_it_says(text: str) -> None:
    outcome = Outcome("application", None, text, text, attachments=((f"of {text}", "/spool/1"),))
    kept = outcome_text(outcome, ran=0.25)
    assert outcome_from(kept) == outcome
    assert outcome_from(kept).ran == 0.25
    assert kept.encode()


def test_what_a_handler_gave_is_kept_as_text_where_json_knows_no_form_of_it() -> None:
    odd = Outcome("successful", {"it": object, "set": {1}}, "", "")
    assert outcome_from(outcome_text(odd)).payload == {"it": str(object), "set": [1]}
    assert outcome_from(outcome_text(UNCHANGED)) == UNCHANGED
