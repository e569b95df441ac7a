"""What was answered lasts: restarts, kills, the file beside the data; the server as a process."""

import asyncio
import json
import signal
import sqlite3
import stat
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from worker.localserver import Faults, LocalServer, ServerOptions, ServerStartError
from worker.localserver.serve import parse_users
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import build
from worker.testing.reserved_ports import reserved_ports

DEADLINE = 60.0


class Process:
    """The local server as a process of its own; looks like ``LocalServer`` to clients."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.ws_url = self.grpc_url = self.http_url = ""
        self.running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "worker.localserver",
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self.running.stdout is not None
        line = await asyncio.wait_for(self.running.stdout.readline(), DEADLINE)
        told = json.loads(line)
        assert told["pid"] == self.running.pid
        self.ws_url, self.grpc_url, self.http_url = told["ws"], told["grpc"], told["http"]

    async def end(self, how: signal.Signals) -> int:
        assert self.running is not None
        if self.running.returncode is None:
            self.running.send_signal(how)
        return await asyncio.wait_for(self.running.wait(), DEADLINE)


@pytest.fixture
async def process(tmp_path: Path) -> Any:
    started: list[Process] = []

    async def start(*arguments: str) -> Process:
        server = Process(
            "--data", str(tmp_path / "data.db"), "--user", "tester:correct horse", *arguments
        )
        started.append(server)
        await server.start()
        return server

    yield start
    for server in started:
        await server.end(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)


async def test_a_restart_on_the_same_ports_and_data_loses_nothing(
    serve: Any, connect: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data.db"
    first = await serve(data=data)
    ports = {"port": first.port, "grpc_port": first.grpc_port}
    client = await connect(first)
    over_grpc = await connect(first, "grpc")
    await client.queue("q", retrydelay=0)
    item = await client.push("q", {"n": 1})
    await over_grpc.pop("q")
    uploaded = await client.upload("f", b"x" * 300_000)
    await first.stop()
    with reserved_ports("127.0.0.1", *ports.values()):
        for one in (client, over_grpc):
            await asyncio.wait_for(one.closed.wait(), DEADLINE)
        told = {"port": first.port, "grpc_port": first.grpc_port}
        assert told == ports, "still told after the end"
        second = await serve(data=data, **ports)
    again = await connect(second, signed_in=False)
    await again.ask("signin", pb.SigninRequest(jwt=client.jwt))
    assert await again.pop("q") is None
    assert (await again.query("workitems", {"_id": item._id}))[0]["state"] == "processing"
    assert await again.download(uploaded.id) == b"x" * 300_000
    assert (await again.update(item._id, "retry")).retries == 1
    grpc_again = await connect(second, "grpc")
    assert (await grpc_again.pop("q"))._id == item._id


async def test_sigkill_loses_nothing_that_was_answered(process: Any, connect: Any) -> None:
    server = await process()
    client = await connect(server)
    await client.queue("q")
    answered: list[str] = []

    async def push() -> None:
        while True:
            answered.append((await client.push("q", {"n": len(answered)}))._id)

    pushing = [asyncio.create_task(push()) for _ in range(8)]
    async with asyncio.timeout(DEADLINE):
        while len(answered) < 300:
            await asyncio.sleep(0.01)
    await server.end(getattr(signal, "SIGKILL", signal.SIGTERM))
    await asyncio.gather(*pushing, return_exceptions=True)

    again = await connect(await process())
    found = await again.query("workitems", {"wiq": "q"}, projection={"_id": 1}, top=1_000_000)
    assert {one["_id"] for one in found} >= set(answered)


async def test_an_upload_that_a_kill_cut_short_leaves_no_bytes(
    process: Any, connect: Any, tmp_path: Path
) -> None:
    server = await process()
    client = await connect(server)
    await client.start("upload", pb.UploadRequest(filename="half"))
    rid = next(reversed(client._waiting))
    await client.send(build("stream", pb.Stream(data=bytes(600_000)), rid=rid))
    await client.ask("getelement", pb.GetElementRequest())
    client._waiting.clear()
    await server.end(getattr(signal, "SIGKILL", signal.SIGTERM))
    assert await (await process()).end(signal.SIGTERM) == 0  # a running server keeps the file
    with sqlite3.connect(tmp_path / "data.db") as data:
        assert data.execute("SELECT COUNT(*) FROM chunks").fetchone() == (0,)
    data.close()


async def test_a_payload_that_stays_is_not_written_again(
    process: Any, connect: Any, tmp_path: Path
) -> None:
    large = json.dumps({"big": "x" * 1_000_000}, separators=(",", ":"))
    client = await connect(await process())
    await client.queue("q", maxretries=9)
    item = await client.push("q", large)

    def written() -> int:
        return (tmp_path / "data.db-wal").stat().st_size

    before = written()
    assert before > len(large)
    assert (await client.pop("q")).payload == large
    await client.update(item._id, "retry", payload=large)
    assert (await client.pop("q")).payload == large
    change = {"$set": {"state": "new", "nextrun": "2020-01-01T00:00:00.000Z"}}
    told = await client.ask(
        "updatedocument",
        pb.UpdateDocumentRequest(
            collectionname="workitems",
            query=json.dumps({"_id": item._id}),
            document=json.dumps(change),
        ),
    )
    assert told.opresult.matchedCount == 1
    assert (await client.pop("q")).payload == large
    (document,) = await client.query("workitems", {"_id": item._id})
    await client.replace("workitems", {**document, "state": "new"})
    assert (await client.pop("q")) is None, "it has no nextrun"
    await client.update(item._id, "successful")
    assert written() - before < 300_000
    (stored,) = await client.query("workitems", {"_id": item._id})
    assert (stored["state"], stored["payload"]) == ("successful", json.loads(large))
    await client.update(item._id, payload='{"n":1}')
    (stored,) = await client.query("workitems", {"_id": item._id})
    assert stored["payload"] == {"n": 1}


async def test_two_servers_do_not_share_a_file(
    process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(path: str, **options: Any) -> sqlite3.Connection:
        return connect(path, **{**options, "timeout": 0.2})  # and not 5 s for the other server

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", impatient)
    first = await process()
    second = LocalServer(ServerOptions(data=tmp_path / "data.db", users={"tester": "x"}))
    with pytest.raises(sqlite3.OperationalError, match=r"^another server has it open$"):
        await second.start()
    assert await first.end(signal.SIGTERM) == 0
    async with second:
        assert second.port


async def test_sigterm_is_a_clean_end(process: Any, connect: Any) -> None:
    server = await process()
    client = await connect(server)
    over_grpc = await connect(server, "grpc")
    assert await server.end(signal.SIGTERM) == 0
    for one in (client, over_grpc):
        await asyncio.wait_for(one.closed.wait(), DEADLINE)


def post(url: str, body: object) -> int:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


async def test_faults_are_set_over_http_only_where_the_server_was_told_so(
    process: Any, connect: Any, server: LocalServer
) -> None:
    told = await process("--faults", "--rate-limit", "1000")
    client = await connect(told)
    await client.queue("q")
    await client.push("q")
    url = f"{told.http_url}/faults"
    assert await asyncio.to_thread(post, url, {"lose_pop_replies": 1}) == 200
    lost = await client.start("popworkitem", pb.PopWorkitemRequest(wiq="q"))
    assert await client.pop("q") is None, "the lost pop took the item"
    assert not lost.done()
    lost.cancel()
    for wrong in ({"nonsense": 1}, {"lose_pop_replies": "many"}, [1]):
        assert await asyncio.to_thread(post, url, wrong) in (400, 422)
    assert await asyncio.to_thread(post, f"{server.http_url}/faults", {}) in (404, 405)

    def stats() -> dict[str, int]:
        with urllib.request.urlopen(f"{told.http_url}/stats", timeout=DEADLINE) as reply:
            return dict(json.load(reply))

    counted = await asyncio.to_thread(stats)
    assert (counted["popworkitem"], counted["pushworkitem"]) == (2, 1)


async def test_lost_delayed_and_silent_replies(serve: Any, connect: Any) -> None:
    server = await serve()
    client = await connect(server)
    await client.queue("q")
    item = await client.push("q")
    server.faults.lose_update_replies = 1
    server.faults.lose_replies["count"] = 1
    lost = [
        await client.start(
            "updateworkitem",
            pb.UpdateWorkitemRequest(
                workitem=pb.Workitem(_id=item._id, state="failed", payload="null")
            ),
        ),
        await client.start("count", pb.CountRequest(collectionname="mq", query="{}")),
    ]
    (stored,) = await client.query("workitems", {"_id": item._id})
    assert stored["state"] == "failed", "executed, and not answered"
    assert not any(one.done() for one in lost)

    server.faults.delay["count"] = 600
    late = await client.start("count", pb.CountRequest(collectionname="mq", query="{}"))
    await client.ask("getelement", pb.GetElementRequest())
    assert not late.done()
    server.faults.delay["count"] = 0.3
    began = time.monotonic()
    reply = await client.envelope("count", pb.CountRequest(collectionname="mq", query="{}"))
    assert reply.command == "countreply"
    assert time.monotonic() - began > 0.29

    server.faults.silent = True
    unheard = await client.start("getelement", pb.GetElementRequest())
    other = await connect(server, signed_in=False)
    assert other.events.empty(), "not even the first ping"
    server.faults.silent = False
    await client.ask("getelement", pb.GetElementRequest())
    assert not unheard.done()
    for one in (*lost, late, unheard):
        one.cancel()


async def test_fault_a_large_reply_over_grpc_breaks_the_connection(
    serve: Any, connect: Any
) -> None:
    server = await serve(faults=Faults(grpc_large_replies_break=True))
    client = await connect(server, "grpc")
    other = await connect(server)
    await client.queue("q")
    payload = {"big": "x" * 4_300_000}
    with pytest.raises(ConnectionResetError):
        await client.push("q", payload)
    assert len(await other.query("workitems", {"wiq": "q"}, projection={"_id": 1})) == 1
    server.faults.grpc_large_replies_break = False
    again = await connect(server, "grpc")
    assert json.loads((await again.pop("q")).payload) == payload


async def test_a_payload_of_20_mb_goes_through(serve: Any, connect: Any, transport: str) -> None:
    client = await connect(await serve(), transport)
    await client.queue("q")
    payload = {"big": "x" * 20_000_000}
    await client.push("q", payload)
    assert json.loads((await client.pop("q")).payload) == payload


async def test_without_a_user_one_is_made_up_and_kept_for_its_owner_only(
    serve: Any, connect: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data.db"
    first = await serve(data=data, users={})
    name, password = first.credentials
    assert len(password) >= 20
    kept = tmp_path / "data.db.user"
    assert kept.read_text(encoding="utf-8").strip() == f"{name}:{password}"
    if sys.platform != "win32":
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    client = await connect(first, signed_in=False)
    await client.sign_in(name, password)
    await first.stop()
    assert (await serve(data=data, users={})).credentials == (name, password)
    memory = await serve(users={})
    assert memory.credentials[1] != password
    assert password not in data.read_bytes().decode("latin-1"), "only its hash is in the data"


async def test_a_changed_password_replaces_the_old_one(
    serve: Any, connect: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data.db"
    await (await serve(data=data)).stop()
    server = await serve(data=data, users={"tester": "new words"})
    client = await connect(server, signed_in=False)
    with pytest.raises(Exception, match=r"^tester failed logging in using local$"):
        await client.sign_in()
    await client.sign_in("tester", "new words")


async def test_a_taken_port_is_said(serve: Any) -> None:
    server = await serve()
    for options in ({"port": server.port}, {"grpc_port": server.grpc_port}):
        second = LocalServer(ServerOptions(users={"a": "b"}, **options))
        with pytest.raises(ServerStartError, match=r"^cannot listen on 127\.0\.0\.1:\d+"):
            await second.start()


async def test_other_machines_need_a_user_that_somebody_named(serve: Any) -> None:
    with pytest.raises(ServerStartError, match=r"^0\.0\.0\.0 can be reached from other machines"):
        await serve(host="0.0.0.0", users={})
    open_to_all = await serve(host="0.0.0.0")
    assert open_to_all.ws_url.startswith("ws://127.0.0.1:")


async def test_grpc_can_be_off(serve: Any, connect: Any) -> None:
    server = await serve(grpc_enabled=False)
    assert server.grpc_port == 0
    await (await connect(server)).queue("q")


async def test_a_disk_that_refuses_is_an_error_and_never_a_false_promise(
    serve: Any, connect: Any, tmp_path: Path
) -> None:
    server = await serve(data=tmp_path / "data.db")
    client = await connect(server)
    await client.queue("q")
    # SQLite's own limit stands in for a full disk: the next page does not fit.
    store = server.services.store
    pages = store.row("PRAGMA page_count")
    store.row(f"PRAGMA max_page_count = {pages[0]}")
    sent = [
        await client.start(
            "pushworkitem",
            pb.PushWorkitemRequest(wiq="q", payload=json.dumps({"x": "y" * size})),
        )
        for size in (1, 1, 100_000, 1)
    ]
    replies = [await asyncio.wait_for(one, DEADLINE) for one in sent]
    assert replies[2].command == "error"
    assert "full" in pb.ErrorResponse.FromString(replies[2].data.value).message
    promised = [one for one in replies if one.command != "error"]
    assert len(await client.query("workitems", {})) == len(promised)
    store.row("PRAGMA max_page_count = 1000000")
    before = len(await client.query("workitems", {}))
    await client.push("q", {"x": "y" * 10_000})
    assert len(await client.query("workitems", {})) == before + 1


def test_users_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("me:secret:with:colons\n\n you:other \n", encoding="utf-8")
    expected = {"admin": "x", "me": "secret:with:colons", "you": "other"}
    assert parse_users(["admin:x", f"@{file}"]) == expected
    with pytest.raises(ValueError, match="No such file"):
        parse_users([f"@{tmp_path}/none"])
    file.write_text("hunter2", encoding="utf-8")
    with pytest.raises(ValueError, match="takes NAME:PASSWORD") as said:
        parse_users([f"@{file}"])
    assert "hunter2" not in str(said.value)
