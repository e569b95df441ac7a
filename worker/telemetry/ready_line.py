"""A line that is said very often, ready but for a few words: the time, a trace, ids and numbers.

1. Once a second it is made as every line is (``log_forms``), with stand-ins for what is to come;
   what is left to do for each line is to put the values in their places.
2. A value that would not stand there as it is has its whole line made in the ordinary way, and so
   has every line where a stand-in is not found where it should be.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.item.trace import Trace
from worker.telemetry.log_forms import Entry, Form, Level, moment

Value = str | int | float

WORD: Final = "StandInForAWord"
"""For a text without a space."""
WORDS: Final = "stand in for words"
"""For one with a space: forms for people quote it."""
NUMBER: Final = 7_305_190_246_813
_STAND_INS: Final = (WORD, WORDS, NUMBER)
_HARMLESS: Final[Mapping[str, Callable[[Any], object]]] = {
    WORD: re.compile(r"[A-Za-z0-9._:/#@+-]{1,100}").fullmatch,
    WORDS: re.compile(r"[A-Za-z0-9._:/#@+-]{0,50} [A-Za-z0-9._:/#@+ -]{0,50}").fullmatch,
}
"""Whether every form shows a text as it is, in quotation marks at most."""
_TRACE: Final = Trace(f"00-{'5ca1ab1e' * 4}-{'0ddba11c' * 2}-01")


@dataclass(frozen=True, slots=True)
class _Made:
    """The line of one second; one object, since several threads may ask for lines."""

    second: int
    template: str | None
    timed: bool
    shows_trace: bool


class ReadyLine:
    """Lines that are the same but for a few values; their texts were masked already.

    Args:
        fields: with ``WORD``, ``WORDS`` and ``NUMBER`` for those that are to come, texts first.
        traced: a trace is to come as well.
    """

    def __init__(
        self,
        form: Form,
        level: Level,
        message: str,
        fields: Mapping[str, object],
        *,
        handler: str = "",
        traced: bool = False,
    ) -> None:
        self.level: Final = level
        self._form: Final = form
        self._message: Final = message
        self._fields: Final = fields
        self._handler: Final = handler
        self._traced: Final = traced
        self._stand_ins: Final[list[Value]] = [
            value
            for value in fields.values()
            if isinstance(value, str | int) and value in _STAND_INS
        ]
        self._harmless: Final = [
            _HARMLESS[value] for value in self._stand_ins if isinstance(value, str)
        ]
        self._made = _Made(-1, None, timed=False, shows_trace=False)

    def line(self, worker: str, values: tuple[Value, ...], trace: Trace | None, at: float) -> str:
        """Return the whole line, without the line break.

        Args:
            values: in the order of the stand-ins; numbers are finite.
            at: when it is said, in seconds since 1970.
        """
        second, made = int(at), self._made
        if second != made.second:
            made = self._made = self._make(worker, second)
        template = made.template
        for place, harmless in enumerate(self._harmless):
            if not harmless(values[place]):
                template = None
        if template is None:
            return self._form(self.entry(worker, values, trace, at))
        if made.shows_trace and trace is not None:
            values = (trace.trace_id, trace.span_id, *values)
        if made.timed:
            return template % (int((at - second) * 1000), *values)
        return template % values

    def entry(self, worker: str, values: Sequence[Value], trace: Trace | None, at: float) -> Entry:
        """Return what is said, with these values."""
        left = iter(values)
        fields = {
            name: next(left) if value in _STAND_INS else value
            for name, value in self._fields.items()
        }
        return Entry(
            self.level,
            self._message,
            fields,
            clean=True,
            handler=self._handler,
            worker=worker,
            trace=trace,
            at=at,
        )

    def _make(self, worker: str, second: int) -> "_Made":
        trace = _TRACE if self._traced else None
        entry = self.entry(worker, self._stand_ins, trace, float(second))
        line = self._form(entry).replace("%", "%%")
        told = moment(float(second))
        timed, shows_trace = told in line, self._traced and _TRACE.trace_id in line
        places = [(told, told.replace("000Z", "%03dZ"))] if timed else []
        if shows_trace:
            places += [(_TRACE.trace_id, "%s"), (_TRACE.span_id, "%s")]
        places += [(str(one), "%s") for one in self._stand_ins]
        template = _with_places(line, places)
        return _Made(second, template, timed=timed, shows_trace=shows_trace)


def _with_places(line: str, places: Sequence[tuple[str, str]]) -> str | None:
    """Return a line with places in the stead of stand-ins, which stand there in this order; None
    where they do not, or where somebody's own text is like one."""
    wanted = [stand_in for stand_in, _ in places]
    parts: list[str] = []
    rest = line
    for stand_in, place in places:
        before, found, rest = rest.partition(stand_in)
        if not found or line.count(stand_in) != wanted.count(stand_in):
            return None
        parts += (before, place)
    return "".join((*parts, rest))
