"""``schedules`` and ``retention``: what they show and what they do."""

import asyncio
import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.integration.cli.commands import Cli, answer, signed_environment
from worker.app.registry import load_modules
from worker.engine.daemon import Daemon
from worker.settings import load

MODULE = """
from typing import Any

from worker import handler, schedule


def zone(tick):
    return {"day": f"{tick:%Z}"}


@schedule("30 2 * * *", tz="Europe/Copenhagen", missed="skip", payload=zone)
@schedule("0 12 1 1 *", name="yearly", payload={"kind": "yearly"})
@handler("sch-reports", keep="1ms")
async def nightly(payload: dict[str, Any]) -> None:
    ...


@schedule("0 12 1 1 *", name="yearly")
@handler("sch-letters")
async def letter(payload: dict[str, Any]) -> None:
    ...
"""


@pytest.fixture
def brought(signed: Cli, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The schedules of a worker that ran for a moment."""
    name = f"scheduled_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    for queue in ("sch-reports", "sch-letters"):
        signed("queues", "create", queue)
    monkeypatch.chdir(tmp_path)
    environment = {
        **signed_environment(server_url, tmp_path),
        "OPENIAP_WORKER_RESCUE_INTERVAL": "0.2",
        "OPENIAP_WORKER_LOG_LEVEL": "warn",
    }

    async def run() -> None:
        daemon = Daemon(load({}, environment=environment).settings, load_modules([name]))
        await daemon.start()
        await daemon.tick()
        await daemon.stop()

    asyncio.run(run())

    def call(*arguments: str, **more: str):
        return signed(*arguments, **{"OPENIAP_WORKER_HANDLERS": name, **more})

    return call


def test_list_shows_each_with_its_next_run_on_its_own_clock(brought: Cli) -> None:
    found = {
        (one["queue"], one["name"]): one for one in answer(brought("schedules", "list", "--json"))
    }
    assert set(found) == {
        ("sch-letters", "yearly"),
        ("sch-reports", "nightly"),
        ("sch-reports", "yearly"),
    }
    nightly = found["sch-reports", "nightly"]
    assert (nightly["tz"], nightly["missed"], nightly["state"]) == (
        "Europe/Copenhagen",
        "skip",
        "active",
    )
    assert datetime.fromisoformat(nightly["next"]) > datetime.fromisoformat(nightly["since"])
    shown = brought("schedules", "list").stdout
    assert "sch-reports/nightly" in shown
    assert "02:30:00 CE" in shown


def test_pause_and_resume(brought: Cli) -> None:
    paused = brought("schedules", "pause", "nightly")
    assert paused.stdout == "Paused sch-reports/nightly.\n"
    found = {one["name"]: one for one in answer(brought("schedules", "list", "--json"))}
    assert (found["nightly"]["state"], found["nightly"]["next"]) == ("paused", None)
    assert answer(brought("schedules", "pause", "nightly", "--json"))["state"] == "paused"
    resumed = answer(brought("schedules", "resume", "sch-reports/nightly", "--json"))
    assert resumed["state"] == "active"
    assert resumed["next"] is not None


def test_a_name_that_is_nobodys_or_several_schedules_is_refused(brought: Cli) -> None:
    nobody = brought("schedules", "pause", "weekly")
    assert (nobody.returncode, nobody.stderr) == (
        1,
        "There is no schedule weekly that a worker has brought; there are: sch-letters/yearly,"
        " sch-reports/nightly, sch-reports/yearly.\n",
    )
    several = brought("schedules", "fire", "yearly")
    assert (several.returncode, several.stderr) == (
        2,
        "There are several schedules called yearly: sch-reports/yearly, sch-letters/yearly. Name"
        " one of them.\n",
    )


def test_fire_pushes_one_now(brought: Cli) -> None:
    id = answer(brought("schedules", "fire", "nightly", "--json"))["id"]
    item = answer(brought("items", "show", id, "--json"))
    assert item["queue"] == "sch-reports"
    assert item["payload"]["day"] in ("CET", "CEST")


def test_retention_counts_and_deletes_only_when_told(brought: Cli, tmp_path: Path) -> None:
    scan = tmp_path / "scan.txt"
    scan.write_text("0123456789")
    pushed = answer(
        brought("push", "sch-reports", "--payload", "{}", "--file", str(scan), "--json")
    )
    brought("run", "--once", "--queue", "sch-reports")
    dry = brought("retention")
    assert "sch-reports  successful  1ms" in dry.stdout
    assert dry.stderr == "Nothing was deleted; --delete does it.\n"
    (rule,) = answer(brought("retention", "--json"))["rules"]
    assert rule["items"] >= 1
    assert (rule["files"], rule["bytes"]) == (1, 10)
    refused = brought("retention", "--delete")
    assert "add --yes" in refused.stderr
    done = json.loads(brought("retention", "--delete", "--yes", "--json").stdout)
    assert done["deleted"] == rule["items"]
    assert brought("items", "show", pushed["ids"][0]).returncode == 1


def test_retention_without_rules_says_so(signed: Cli, tmp_path: Path) -> None:
    (tmp_path / "keeps_all.py").write_text(
        "from worker import handler\n\n\n@handler('q')\ndef work(payload: dict) -> None: ...\n"
    )
    found = signed("retention", "--handlers", "keeps_all")
    assert (found.returncode, found.stderr) == (
        0,
        "No handler says keep or keep_failed: items are kept for ever.\n",
    )
