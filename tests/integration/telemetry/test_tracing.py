"""A trace goes through a chain of queues, follow-ups and retries, from the program that pushed."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.telemetry.spans_collected import Collector, Seen, collector
from worker.localserver import LocalServer, ServerOptions
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.settings import load

HERE = Path(__file__).parent
DEADLINE = 120.0
CHAIN = ("first", "second", "third")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Stage:
    """A server, its queues, and programs that run against it to their end."""

    def __init__(self, server: LocalServer, client: Client, folder: Path) -> None:
        self.url = server.ws_url
        self.client = client
        self._folder = folder

    async def run(self, *arguments: str) -> tuple[str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                "PYTHONPATH": str(HERE.parents[2]),
                "PATH": os.environ["PATH"],
                "OPENIAP_WORKER_URL": self.url,
                "OPENIAP_WORKER_USERNAME": "tester",
                "OPENIAP_WORKER_PASSWORD": "secret",
                "OPENIAP_WORKER_CLIENT": "native",
            },
        )
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode(), err.decode()

    async def work(self, handlers: str, **settings: str) -> list[dict[str, Any]]:
        """Work all queues until they are empty; returns the log lines."""
        given = {
            "state_dir": str(self._folder / "state"),
            "log_format": "json",
            **settings,
        }
        options = [part for name, value in given.items() for part in ("--set", f"{name}={value}")]
        _, lines = await self.run("-m", "worker", "run", "--once", "--handlers", handlers, *options)
        return [json.loads(line) for line in lines.splitlines() if line.startswith("{")]

    async def payload(self, queue: str) -> dict[str, Any]:
        (found,) = await self.client.query("workitems", {"wiq": queue})
        assert found["state"] == "successful", found
        payload: dict[str, Any] = found["payload"]
        return payload


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with LocalServer(ServerOptions(users={"tester": "secret"})) as server:
        values = {"username": "tester", "password": "secret", "client": "native"}
        client = make_client(load({"url": server.ws_url, **values}, environment={}).settings)
        await client.connect()
        after: dict[str, str] = {}
        for name in ("later", *reversed(CHAIN)):
            rules = {"_type": "workitemqueue", "maxretries": 3, "retrydelay": 0, "name": name}
            queue = await client.insert_one("mq", {**rules, **after})
            after = {} if name == "later" else {"success_wiq": name, "success_wiqid": queue["_id"]}
        yield Stage(server, client, tmp_path)
        await client.disconnect()


@pytest.fixture
async def spans() -> AsyncIterator[Collector]:
    async with collector() as kept:
        yield kept


async def test_a_whole_trace_of_a_chain_a_follow_up_and_a_retry(
    stage: Stage, spans: Collector
) -> None:
    out, _ = await stage.run(str(HERE / "traced_push.py"), stage.url, spans.url)
    lines = await stage.work(str(HERE / "traced_handlers.py"), trace_url=spans.url)

    order, push = spans.one("order"), spans.one("send first")
    assert {span.trace for span in spans.spans} == {order.trace}
    assert (push.parent, push.kind) == (order.id, "producer")
    assert push.attributes["messaging.message.id"] == out.strip()
    before = push
    for queue in CHAIN:
        process, settle = spans.one(f"process {queue}"), spans.one(f"settle {queue}")
        assert (process.parent, process.kind) == (before.id, "consumer")
        assert (settle.parent, settle.kind) == (process.id, "client")
        assert spans.one(f"inside {queue}").parent == process.id
        assert process.attributes["messaging.system"] == "openiap"
        assert process.attributes["messaging.destination.name"] == queue
        assert process.attributes["messaging.operation.type"] == "process"
        assert not process.failed
        before = process
    assert push.service == "shop"
    assert spans.one("inside third").service == "openiap-worker"

    created = spans.one("create later")
    assert (created.parent, created.kind) == (spans.one("inside first").id, "producer")
    assert spans.one("send later").parent == created.id
    failed, done = sorted(
        spans.named("process later"), key=lambda one: one.attributes["openiap.item.attempt"]
    )
    assert failed.id != done.id
    assert failed.parent == done.parent == created.id
    assert failed.failed
    assert failed.attributes["error.type"] == "ConnectionError"
    assert "not yet" in failed.events[0]["exception.message"]
    assert not done.failed

    said = [line for line in lines if line["message"] == "a line of mine"]
    assert [(line["trace_id"], line["span_id"]) for line in said] == [
        (order.trace, failed.id),
        (order.trace, done.id),
    ]
    ends = {line["queue"]: line for line in lines if line["message"] == "item done"}
    assert ends["third"]["span_id"] == spans.one("process third").id
    await _headers_came_along(stage, spans.one("inside third"))


async def _headers_came_along(stage: Stage, inside: Seen) -> None:
    third = await stage.payload("third")
    assert third["second"] == third["headers"] == {"order": "4711"}
    assert third["third"] == f"00-{inside.trace}-{inside.id}-01"
    assert (await stage.payload("later"))["headers"] == {"order": "4711"}


async def test_without_opentelemetry_a_trace_goes_along_as_it_came(stage: Stage) -> None:
    headers = ["--header", f"traceparent={PARENT}", "--header", "tracestate=a=1,b=2"]
    await stage.run("-m", "worker", "push", "first", *headers)
    lines = await stage.work(str(HERE / "plain_handlers.py"))
    for queue in CHAIN:
        kept = (await stage.payload(queue))["openiap_worker"]
        assert (kept["traceparent"], kept["tracestate"]) == (PARENT, "a=1,b=2")
    third = await stage.payload("third")
    assert third["seen"] == dict.fromkeys(CHAIN, PARENT)
    assert third["opentelemetry"] is False
    assert (await stage.payload("later"))["openiap_worker"]["traceparent"] == PARENT
    ends = [line for line in lines if line["message"] == "item done"]
    assert len(ends) == 4
    assert {line["trace_id"] for line in ends} == {PARENT[3:35]}
