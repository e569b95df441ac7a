"""The shell is offered what fits, within a second, and never a message."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.commands import Cli, clean_environment, signed_environment
from worker.cli.shared import complete

Offer = Callable[..., list[str]]


@pytest.fixture
def offered(cli: Cli) -> Offer:
    """Return what bash is offered for the last word of a line."""

    def offer(line: str, **environment: str) -> list[str]:
        done = cli(**asked(line), **environment)
        assert done.stderr == ""
        return done.stdout.split()

    return offer


def asked(line: str) -> dict[str, str]:
    """Return how bash asks for the last word of a line."""
    return {
        "_OPENIAP_WORKER_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }


def test_queues_are_those_of_the_server(
    offered: Offer, signed: Cli, server_url: str, tmp_path: Path
) -> None:
    for name in ("invoices", "invoices-late", "orders"):
        signed("queues", "create", name)
    environment = signed_environment(server_url, tmp_path)
    for line in (
        *("push inv", "items list --queue inv", "queues update inv", "run --queue inv"),
        *("items errors --queue inv", "items move --to inv"),
    ):
        found = offered(f"openiap-worker {line}", **environment)
        assert found == ["invoices", "invoices-late"], line
    done = subprocess.run(
        [sys.executable, "-m", "worker"],
        cwd=tmp_path,
        env=clean_environment(**asked("openiap-worker push o"), **environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("orders\n", "")


def test_states_settings_and_modules_are_offered(offered: Offer, tmp_path: Path) -> None:
    assert offered("openiap-worker items list --state ") == [
        "new",
        "processing",
        "successful",
        "failed",
    ]
    assert offered("openiap-worker items retry --error-kind b") == ["business"]
    assert offered("openiap-worker items list --sort err") == ["errortype", "errormessage"]
    assert offered("openiap-worker run --set drain") == ["drain_timeout="]
    assert offered("openiap-worker run --set pass") == []
    files = {
        "jobs.py": "@handler('q')",
        "robot/orders.py": "@handler('q')",
        "robot/plain.py": "x = 1",
        "robot/__init__.py": "",
        "tests/test_jobs.py": "@handler('q')",
        ".venv/lib.py": "@handler('q')",
        "environment/pyvenv.cfg": "",
        "environment/more.py": "@handler('q')",
        "a/b/c/deep.py": "@handler('q')",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert offered("openiap-worker run --handlers ") == ["jobs", "robot.orders"]
    assert offered("openiap-worker doctor rob") == ["robot.orders"]


def test_a_server_that_is_away_or_refuses_is_silence(
    offered: Offer, server_url: str, tmp_path: Path
) -> None:
    refused = {**signed_environment(server_url, tmp_path), "OPENIAP_PASSWORD": "wrong"}
    for environment in ({}, {"OPENIAP_URL": "nonsense"}, {"apiurl": "ws://127.0.0.1:9"}, refused):
        assert offered("openiap-worker push inv", **environment) == []
    (tmp_path / "config").mkdir()
    (tmp_path / "config/worker.toml").write_text("not = [toml")
    assert offered("openiap-worker push inv") == []


def test_a_server_that_never_answers_is_waited_for_a_second(offered: Offer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        who = {"OPENIAP_USERNAME": "tester", "OPENIAP_PASSWORD": "secret"}
        assert offered("openiap-worker push inv", apiurl=url, **who) == []
        took = time.monotonic() - began
        assert server.accept(), "it was asked"
    assert complete.PATIENCE <= took < 30 * complete.PATIENCE, "on a busy machine"
