"""What Python's own ``logging`` says becomes lines of the worker, where nobody set it up."""

import logging

import pytest

from worker.telemetry.log import Log
from worker.telemetry.standard_logging import StandardLogging


def test_only_what_no_handler_took_comes_and_only_meanwhile() -> None:
    lines: list[tuple[str, str]] = []
    before = logging.lastResort
    bridge = StandardLogging(Log("info", write=lambda level, line: lines.append((level, line))))
    foreign = logging.Logger("foreign")
    bridge.start()
    try:
        foreign.info("too little")
        foreign.warning("token=%s", "abcdef")
        foreign.error("with %d", "no number")
        foreign.addHandler(logging.NullHandler())
        foreign.error("taken")
    finally:
        bridge.stop()
    assert logging.lastResort is before
    assert [level for level, _ in lines] == ["warn", "error"]
    assert "token=***" in lines[0][1]
    assert "logger=foreign" in lines[0][1]
    assert "with %d" in lines[1][1]


@pytest.mark.parametrize("first_stops_first", [True, False])
def test_the_place_of_last_resort_is_given_back_by_whoever_holds_it(
    first_stops_first: bool,
) -> None:
    before = logging.lastResort
    first, second = StandardLogging(Log()), StandardLogging(Log())
    try:
        first.start()
        second.start()
        stops = (first, second) if first_stops_first else (second, first)
        for one in stops:
            one.stop()
        assert logging.lastResort is before
    finally:
        logging.lastResort = before


def test_exporters_that_speak_at_every_try_are_heard_once_in_a_while() -> None:
    lines: list[str] = []
    bridge = StandardLogging(Log("info", write=lambda _, line: lines.append(line)))

    def say(name: str, at: float) -> None:
        record = logging.LogRecord(name, logging.WARNING, "", 0, "%s", (at,), None)
        record.created = at
        bridge.emit(record)

    for at in (1000.0, 1000.5, 1059.9, 1060.0):
        say("opentelemetry.exporter.otlp", at)
        say("mine", at)
    assert [line for line in lines if "opentelemetry" in line] == [
        "1000.0 logger=opentelemetry.exporter.otlp",
        "1060.0 logger=opentelemetry.exporter.otlp",
    ]
    assert len(lines) == 6
