"""``demo``: every item ends as planned, and the demo notices when one does not."""

import json
from dataclasses import replace

import pytest

from tests.integration.cli.commands import Cli, answer
from worker.cli.app import main
from worker.cli.demo import run
from worker.cli.demo.plan import PlannedItem, plan


@pytest.mark.parametrize("client", ["official", "native"])
def test_every_item_ends_as_expected(cli: Cli, client: str) -> None:
    found = answer(cli("demo", "--items", "39", "--client", client, "--json"))
    assert found["problems"] == []
    queues = {queue["queue"]: queue for queue in found["queues"]}
    assert sum(queue["pushed"] for queue in queues.values()) == 39 + 9
    calls = queues["http-calls"]
    assert (calls["attempts"], calls["retried"]) == (calls["pushed"] + 6, 6)
    assert queues["shipments"]["pushed"] == queues["orders"]["successful"] == 9
    assert all(0 < queue["p50"] <= queue["p99"] for queue in queues.values())


def test_people_are_shown_a_table(cli: Cli) -> None:
    shown = cli("demo", "--items", "13")
    assert shown.returncode == 0, shown.stderr
    assert "csv-summaries" in shown.stdout
    _, _, after = shown.stdout.partition("13 items, and 3 that they led to, ended as expected, in")
    following = [line for line in after.splitlines()[1:] if line.strip()]
    assert len(following) == 3, "what to do next"
    assert following[0].split()[:2] == ["openiap-worker", "new"]


def test_an_item_that_ends_otherwise_is_an_exit_code_of_1(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def other(count: int, service: str) -> list[PlannedItem]:
        first, *rest = plan(count, service)
        return [replace(first, expected=replace(first.expected, attempts=7)), *rest]

    monkeypatch.setattr(run, "plan", other)
    assert main(["demo", "--items", "5", "--json", "--client", "native"]) == 1
    (problem,) = json.loads(capfd.readouterr().out)["problems"]
    assert problem.endswith(", not 7")


def test_another_client_is_refused(cli: Cli) -> None:
    refused = cli("demo", "--client", "quick")
    assert (refused.returncode, refused.stderr) == (
        2,
        "--client quick: allowed: official, native.\n",
    )
