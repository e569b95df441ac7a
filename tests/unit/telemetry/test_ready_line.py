"""A line that is ready is the line that would have been made, to the letter."""

import itertools
import json

import pytest

from tests.cases import each
from worker.item.trace import Trace
from worker.telemetry.log_forms import Entry, Form, as_json, bare, coloured, journal, text
from worker.telemetry.ready_line import NUMBER, WORD, WORDS, ReadyLine, Value

FORMS = [as_json, bare, coloured, journal, text]
TRACE = Trace(f"00-{'a1' * 16}-{'b2' * 8}-01")
NOW = 1_700_000_000.0625


def fields(queue: str = "invoices", **more: object) -> dict[str, object]:
    return {"queue": queue, "item": WORD, **more, "attempt": NUMBER, "seconds": NUMBER}


def ready(form: Form, said: dict[str, object], handler: str = "book", **more: bool) -> ReadyLine:
    return ReadyLine(form, "info", "item done", said, handler=handler, **more)


def ordinary(
    form: Form,
    said: dict[str, object],
    values: tuple[Value, ...],
    trace: Trace | None = None,
    *,
    handler: str = "book",
    at: float = NOW,
) -> str:
    left = iter(values)
    whole = {k: next(left) if v in (WORD, WORDS, NUMBER) else v for k, v in said.items()}
    more = {"handler": handler, "worker": "w-1", "trace": trace, "at": at}
    return form(Entry("info", "item done", whole, clean=True, **more))  # type: ignore[arg-type]


@each("form", FORMS)
@each("trace", [None, TRACE])
def test_it_is_the_line_that_would_have_been_made(form: Form, trace: Trace | None) -> None:
    for name, queue, handler in itertools.product(
        ("", "INV-12", "Invoice 12", "x\x1b", 'a "b" %s', "Größe 7", "q" * 300, " "),
        ("invoices", "100% of them", 'a "b"=c %s\n\x1b[31m', "Größe"),
        ("book", "", "%d"),
    ):
        said = fields(queue, **({"name": WORDS if " " in name else WORD} if name else {}))
        values = ("65f0c0ffee", *([name] if name else []), 3, 0.012)
        line = ready(form, said, handler, traced=trace is not None).line("w-1", values, trace, NOW)
        assert line == ordinary(form, said, values, trace, handler=handler)


@each("form", FORMS)
@each("identity", ["", "5f 0c\n", 'x"', "StandInForAWord", "y" * 200])
def test_a_value_cannot_forge_a_line(form: Form, identity: str) -> None:
    values = (identity, 1, 0.5)
    line = ready(form, fields()).line("w-1", values, None, NOW)
    assert line == ordinary(form, fields(), values)
    assert "\n" not in line


@pytest.mark.parametrize("form", FORMS, ids=lambda form: str(form.__name__))
def test_it_has_the_time_at_which_it_was_said(form: Form) -> None:
    line = ready(form, fields())
    values = ("65f0", 1, 1e-05)
    for at in (1_700_000_000.0, 1_700_000_000.999, 1_700_000_001.5, 1_699_999_999.25):
        assert line.line("w-1", values, None, at) == ordinary(form, fields(), values, at=at)


@each("form", FORMS)
@each("queue", ["someone's StandInForAWord", f"q{NUMBER}"])
def test_a_text_that_is_like_a_stand_in_is_no_place(form: Form, queue: str) -> None:
    values = ("65f0", 1, 0.5)
    line = ready(form, fields(queue)).line("w-1", values, None, NOW)
    assert line == ordinary(form, fields(queue), values)


def test_machines_are_told_the_trace_and_the_worker() -> None:
    line = ready(as_json, fields(), traced=True).line("w-1", ("65f0", 1, 0.5), TRACE, NOW)
    told = json.loads(line)
    assert (told["trace_id"], told["span_id"]) == (TRACE.trace_id, TRACE.span_id)
    assert (told["worker"], told["handler"], told["item"]) == ("w-1", "book", "65f0")
