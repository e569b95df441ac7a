"""What ``run`` writes: lines on stderr in one form from both clients, nothing on stdout, and a view
on a terminal alone."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli.commands import (
    DEADLINE,
    Cli,
    Finished,
    answer,
    clean_environment,
    run_apart,
    signed_environment,
)

HANDLERS = """
import logging

from worker import BusinessError, Client, Item, handler

@handler("{queue}")
async def book(payload: dict, item: Item, client: Client) -> None:
    client.info("through the client")
    item.log.info("through the item", amount=payload["n"])
    logging.getLogger("foreign").warning("refused, password=%s", "hunter2")
    if payload["n"] == 2:
        raise BusinessError("no VAT id")
    if payload["n"] == 3 and item.attempt == 1:
        raise ValueError("again please")
"""
PLAIN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (ERROR|WARN|INFO|VERBOSE|DEBUG) +\S.*")


@pytest.fixture(params=["official", "native"])
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def prepared(signed: Cli, folder: Path, queue: str) -> tuple[str, ...]:
    """Make a queue with three items, and return the arguments that work it."""
    answer(signed("queues", "create", queue, "--retry-delay", "0", "--json"))
    for number in (1, 2, 3):
        answer(signed("push", queue, "--payload", json.dumps({"n": number}), "--json"))
    (folder / "mine.py").write_text(HANDLERS.format(queue=queue), encoding="utf-8")
    return ("run", "--handlers", "mine.py", "--once")


def worked(signed: Cli, url: str, folder: Path, client: str, **environment: str) -> Finished:
    arguments = prepared(signed, folder, f"lines-{client}-{len(environment)}")
    signing = {**signed_environment(url, folder), "OPENIAP_WORKER_CLIENT": client, **environment}
    done = run_apart(*arguments, folder=folder, environment=signing)
    assert done.returncode == 0, done.stderr
    return done


def test_lines_have_one_form_from_either_client(
    signed: Cli, server_url: str, tmp_path: Path, client: str
) -> None:
    chosen = {"OPENIAP_WORKER_LOG_FORMAT": "text"}
    done = worked(signed, server_url, tmp_path, client, **chosen)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    for line in lines:
        assert PLAIN.fullmatch(line), line
    assert sum("through the client" in line for line in lines) == 4
    assert sum("through the item" in line for line in lines) == 4
    foreign = [line for line in lines if "logger=foreign" in line]
    assert len(foreign) == 4
    assert "hunter2" not in done.stderr
    ends = [line for line in lines if " outcome=" in line]
    assert len(ends) == 4
    assert sum("item done" in line for line in ends) == 2
    (failed,) = [line for line in ends if "failed for good" in line]
    assert "WARN" in failed
    assert "no VAT id" in failed
    (again,) = [line for line in ends if "will be tried again" in line]
    assert "again=" in again
    assert "attempts_left=" in again


def test_json_lines_say_who_and_what(
    signed: Cli, server_url: str, tmp_path: Path, client: str
) -> None:
    chosen = {"OPENIAP_WORKER_LOG_FORMAT": "json", "OPENIAP_WORKER_WORKER_ID": "w-7"}
    done = worked(signed, server_url, tmp_path, client, **chosen)
    assert done.stdout == ""
    told = [json.loads(line) for line in done.stderr.splitlines()]
    mine = [line for line in told if line["message"] == "through the item"]
    assert len(mine) == 4
    for line in mine:
        assert line["worker"] == "w-7"
        assert line["handler"] == "mine.book"
        assert line["level"] == "info"
        assert line["queue"] == f"lines-{client}-2"
        assert line["item"]
        assert line["attempt"] in (1, 2)
        assert line["amount"] in (1, 2, 3)
    assert sum(line.get("outcome") == "successful" for line in told) == 2
    foreign = [line for line in told if line.get("logger") == "foreign"]
    assert [line["level"] for line in foreign] == ["warn"] * 4
    assert all(line["item"] and line["message"] == "refused, password=***" for line in foreign)


def test_under_systemd_lines_carry_priorities_and_no_time(
    signed: Cli, server_url: str, tmp_path: Path, client: str
) -> None:
    arguments = prepared(signed, tmp_path, f"journal-{client}")
    with (tmp_path / "journal").open("w+", encoding="utf-8") as stream:
        told = os.fstat(stream.fileno())
        environment = clean_environment(
            **signed_environment(server_url, tmp_path),
            JOURNAL_STREAM=f"{told.st_dev}:{told.st_ino}",
        )
        done = subprocess.run(
            [sys.executable, "-m", "worker", *arguments, "--client", client],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            timeout=DEADLINE,
            check=False,
        )
        stream.seek(0)
        lines = stream.read().splitlines()
    assert done.returncode == 0, lines
    assert done.stdout == b""
    assert all(re.match(r"<[3467]>[^\d\s<]", line) for line in lines), lines
    assert any(line.startswith("<4>item failed for good") for line in lines)


def test_a_terminal_gets_a_line_that_moves_and_a_table(
    signed: Cli, server_url: str, tmp_path: Path
) -> None:
    arguments = prepared(signed, tmp_path, "moving")
    controlling, terminal = pty.openpty()
    environment = {
        **signed_environment(server_url, tmp_path),
        "TERM": "xterm-256color",
        "COLUMNS": "80",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", *arguments],
        cwd=tmp_path,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    seen = b""
    try:
        while True:
            try:
                seen += os.read(controlling, 65_536)
            except OSError:  # the other end is closed
                break
        assert process.wait(DEADLINE) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""
    finally:
        process.kill()
        process.wait(DEADLINE)
        if process.stdout is not None:
            process.stdout.close()
        os.close(controlling)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())
    assert "items/s" in shown
    assert "? waiting" not in shown
    whole = r"item done queue=moving item=\w+ attempt=\d outcome=successful seconds=[\d.]+\r\n"
    assert len(re.findall(whole, shown)) == 2, "no line is broken, however narrow the terminal"
    table = shown[shown.index("95 % took") :]
    (row,) = [line.split() for line in table.splitlines() if line.startswith("moving")]
    assert row[1:5] == ["2", "1", "1", "0"]
