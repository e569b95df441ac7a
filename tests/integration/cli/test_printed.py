"""What handlers print, and what Python's ``logging`` says in them, are lines of the worker's, in
all three kinds of handler; its standard output stays empty."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.commands import Cli, Finished, answer, run_apart, signed_environment

HANDLERS = """
import logging
import subprocess
import sys

from worker import Item, handler

print("while it is imported")


def said(payload: dict, item: Item) -> None:
    print("amount", payload["n"], "password=hunter2")
    print("two\\nlines")
    print("half", end="")
    sys.stdout.write("\\r and whole \\x1b[31m\\n")
    logging.getLogger("mine").warning("token=%s", "abcdef123456")
    try:
        raise ValueError("inside")
    except ValueError:
        logging.getLogger("mine").exception("it broke")
    program = "import os; os.write(1, b'by a program' + bytes([10]))"
    subprocess.run([sys.executable, "-c", program], check=True)
    print("never ended", end="")


@handler("{queue}-async")
async def as_async(payload: dict, item: Item) -> None:
    said(payload, item)


@handler("{queue}-def")
def as_def(payload: dict, item: Item) -> None:
    said(payload, item)


@handler("{queue}-process", process=True, concurrency=1)
def as_process(payload: dict, item: Item) -> None:
    said(payload, item)
"""
KINDS = ("async", "def", "process")
PLAIN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (ERROR|WARN|INFO) +(\S.*)")
RAW = {"while it is imported", "by a program"}
"""What is on stderr as it is: the children of process handlers import before they can be heard."""


def worked(signed: Cli, url: str, folder: Path, form: str) -> tuple[Finished, list[str]]:
    """Work an item by each kind of handler; the lines of stderr that are the worker's."""
    queue = f"printed-{form}"
    for kind in KINDS:
        answer(signed("queues", "create", f"{queue}-{kind}", "--json"))
        answer(signed("push", f"{queue}-{kind}", "--payload", '{"n": 7}', "--json"))
    (folder / "mine.py").write_text(HANDLERS.replace("{queue}", queue), encoding="utf-8")
    environment = {**signed_environment(url, folder), "OPENIAP_WORKER_LOG_FORMAT": form}
    done = run_apart(
        "run", "--handlers", "mine.py", "--once", folder=folder, environment=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    for secret in ("hunter2", "abcdef123456"):
        assert secret not in done.stderr
    lines = done.stderr.splitlines()
    assert set(lines) > RAW
    assert lines.count("by a program") == len(KINDS), done.stderr
    return done, [line for line in lines if line not in RAW]


@pytest.mark.dear
def test_in_text_they_are_lines_of_their_level(
    signed: Cli, server_url: str, tmp_path: Path
) -> None:
    _, lines = worked(signed, server_url, tmp_path, "text")
    assert any('INFO    "while' in line or "INFO    while it is imported" in line for line in lines)
    found = [match for line in lines if (match := PLAIN.fullmatch(line))]
    assert len(found) == len(lines), lines
    for kind in KINDS:
        mine = [(m[1], m[2]) for m in found if f"queue=printed-text-{kind}" in m[2]]
        printed = [
            (level, text.partition(" item=")[0]) for level, text in mine if "=stdout" in text
        ]
        assert printed == [
            ("INFO", "amount 7 password=***"),
            ("INFO", "two"),
            ("INFO", "lines"),
            ("INFO", "and whole \\u001b[31m"),
            ("INFO", "never ended"),
        ]
        assert "outcome=" in mine[-1][1]
        logged = [(level, text) for level, text in mine if "logger=mine" in text]
        assert [level for level, _ in logged] == ["WARN", "ERROR"]
        assert logged[0][1].startswith("token=*** ")
        assert "ValueError: inside" in logged[1][1]


def test_in_json_they_have_item_handler_and_attempt(
    signed: Cli, server_url: str, tmp_path: Path
) -> None:
    _, lines = worked(signed, server_url, tmp_path, "json")
    told: list[dict[str, Any]] = [json.loads(line) for line in lines]
    for kind in KINDS:
        mine = [one for one in told if one.get("handler") == f"mine.as_{kind}"]
        said = [one for one in mine if one.get("stream") == "stdout" or "logger" in one]
        assert len(said) == 7
        for one in said:
            assert one["queue"] == f"printed-json-{kind}"
            assert one["item"]
            assert one["attempt"] == 1
            assert one["worker"]
