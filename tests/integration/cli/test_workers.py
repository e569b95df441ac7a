"""``workers``: a real worker in a process of its own, seen, steered and stopped."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.commands import DEADLINE, Cli, answer, running, signed_environment

MODULE = """
from pathlib import Path
from typing import Any

from worker import handler


@handler("wrk-jobs", concurrency=2)
def job(payload: dict[str, Any]) -> None:
    while not Path(payload["go"]).exists():
        pass
"""


def until(wanted: str, ask: Any) -> Any:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {DEADLINE} s: {wanted}")


@pytest.mark.dear
def test_a_worker_is_seen_steered_and_stopped(signed: Cli, server_url: str, tmp_path: Path) -> None:
    (tmp_path / "wrk_jobs.py").write_text(MODULE)
    answer(signed("queues", "create", "wrk-jobs", "--json"))
    environment = {**signed_environment(server_url, tmp_path), "OPENIAP_WORKER_WORKER_ID": "wrk-1"}
    with running("run", "--handlers", "wrk_jobs", folder=tmp_path, **environment) as worker:

        def steerable() -> bool:
            found = answer(signed("workers", "list", "--queue", "wrk-jobs", "--json"))
            return any(one["steerable"] for one in found)

        until("a worker that takes commands", steerable)
        go = tmp_path / "go"
        pushed = answer(
            signed("push", "wrk-jobs", "--payload", json.dumps({"go": str(go)}), "--json")
        )

        def runs() -> Any:
            return answer(signed("workers", "show", "wrk-1", "--json"))["items"]

        (item,) = until("an item that runs", runs)
        assert item["handler"].endswith("job")
        assert str(item["id"]) in str(pushed)
        assert "while not Path" in signed("workers", "stacks", "wrk-1").stdout

        assert "takes no more items" in signed("workers", "quiet", "wrk-1").stdout
        listed = signed("workers", "list")
        assert "quiet" in listed.stdout
        changed = signed("workers", "set", "wrk-1", "--queue", "wrk-jobs", "--concurrency", "5")
        assert "2 before, 5 now" in changed.stdout
        shown = signed("workers", "show", "wrk-1")
        assert "wrk-jobs" in shown.stdout
        assert "tester" in shown.stdout

        refused = signed("workers", "stop", "--queue", "wrk-jobs")
        assert refused.returncode == 2
        assert "--yes" in refused.stderr
        stopped = signed("workers", "stop", "--queue", "wrk-jobs", "--yes")
        assert stopped.returncode == 0, stopped.stderr
        go.touch()
        assert worker.process.wait(DEADLINE) == 0
    assert answer(signed("workers", "list", "--json")) == []
    (gone,) = answer(signed("workers", "list", "--gone", "--json"))
    assert gone["state"] == "gone"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("quiet",), "Which workers?"),
        (("quiet", "a", "--all"), "--all"),
        (("set", "a"), "--concurrency N or --log-level"),
        (("set", "a", "--concurrency", "2"), "--queue"),
        (("set", "a", "--log-level", "loud"), "allowed: error, warn"),
        (("stop", "a", "--yes", "--within", "2d"), "1s to 1h"),
        (("show", "nobody"), "There is no worker nobody"),
        (("quiet", "nobody"), "There is no worker nobody"),
        (("quiet", "--all"), "No living worker"),
        (("quiet", "--queue", "nope"), "No living worker works queue nope"),
        (("show", "a\nb"), r"There is no worker 'a\nb',"),
        (("show", ""), "There is no worker '',"),
        (("list", "--queue", "x" * 5_000), "string should have at most 500 characters"),
    ],
)
def test_what_cannot_be_is_said(signed: Cli, arguments: tuple[str, ...], said: str) -> None:
    finished = signed("workers", *arguments)
    assert finished.returncode in (1, 2)
    assert said in finished.stderr
    assert finished.stderr.count("\n") == 1
