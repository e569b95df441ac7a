"""Evidence on failed items: facts in the error's source, and a file where it is asked for."""

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from tests.integration.engine import process_deeds
from tests.integration.engine.conftest import (
    create_queue,
    official_is_dear,
    until_finished,
)
from worker import BusinessError, Item, handler


async def text_of(client, document: dict, folder: Path) -> str:
    (file,) = document["files"]
    path = await client.download(file["_id"], folder, file["name"])
    return path.read_text()


async def test_the_source_says_who_when_and_with_what(client, start) -> None:
    @handler("q")
    async def work(payload: dict) -> None:
        raise BusinessError("amount differs", code="AMOUNT", data={"expected": 5, "password": "x"})

    await create_queue(client, "q")
    await client.push_workitem("q", {})
    await start(work, worker_id="w-1")
    (done,) = await until_finished(client, "q")
    first = done["errorsource"].splitlines()[0]
    assert first.startswith("worker w-1, attempt 1, ")
    assert first.endswith(' s, code AMOUNT, data {"expected":5,"password":"***"}')


async def test_evidence_holds_lines_variables_and_environment_without_secrets(
    client, start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "hunter2")
    monkeypatch.setenv("SOME_PLACE", "https://me:sw0rdfish@example.com")
    monkeypatch.setenv("HARMLESS_BY_NAME", "opaque-value-of-something")

    @handler("q", evidence=True)
    async def work(payload: dict, item: Item) -> None:
        api_key = "hunter2"
        options = {"password": "hunter2", "retries": 3}
        place = "sw0rdfish in a text"
        headers = {"Authorization": "Basic a2luZ2Zpc2hlcg", "X-Api-Key": b"kingfisher"}
        raw = "4b1c9dE7fGh2JkLm3nPqRs"
        await asyncio.sleep(0, (place, headers, raw))
        item.log.info("dividing", by=payload["by"], token="hunter2")
        assert api_key
        assert 1 / payload["by"] < options["retries"]

    await create_queue(client, "q", maxretries=2)
    await client.push_workitem("q", {"by": 0})
    await start(work, worker_id="w-1")
    (done,) = await until_finished(client, "q")
    names = sorted(file["name"] for file in done["files"])
    assert names == ["evidence-attempt-1.txt", "evidence-attempt-2.txt"]
    done["files"] = [f for f in done["files"] if f["name"] == names[1]]
    text = await text_of(client, done, tmp_path)
    assert "attempt 2, after" in text
    assert "worker w-1" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "info  dividing by=0 token=***" in text
    assert "    payload = {'by': 0}" in text
    assert "'retries': 3" in text
    environment = text.split("--- environment")[1].splitlines()
    assert {"SOME_PASSWORD", "SOME_PLACE", "HARMLESS_BY_NAME"} < set(environment)
    assert not any(secret in text for secret in ("sw0rdfish", "opaque-value", "kingfisher"))
    assert f"PATH={os.environ['PATH'][:20]}" in text
    assert "hunter2" not in text.split("--- variables")[1]
    assert "    place = '*** in a text'" in text or "    place = *** in a text" in text
    assert "4b1c9d" not in text.split("--- variables")[1]
    assert "hunter2" not in text.split("--- traceback")[0]


@official_is_dear
async def test_a_process_handler_sends_its_variables_along(
    client, start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "sw0rdfish")
    await create_queue(client, "breaks", maxretries=1)
    await client.push_workitem("breaks", {"by": 0})
    await start(process_deeds.breaks)
    children = psutil.Process().children(recursive=True)
    assert children
    assert not any("sw0rdfish" in word for child in children for word in child.cmdline())
    (done,) = await until_finished(client, "breaks")
    text = await text_of(client, done, tmp_path)
    assert "    divisor = 0" in text
    assert "    secret_token = ***" in text
    assert "about to divide by=0" in text
