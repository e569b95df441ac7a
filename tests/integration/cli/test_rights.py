"""Rights: who may work a queue is given, checked one by one, and said before anything is done."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.commands import (
    PASSWORD,
    USER,
    Cli,
    Finished,
    answer,
    running,
    signed_environment,
)
from worker.openiap.client import Client
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions
from worker.openiap.workitem import WorkItemQueue

READ, UPDATE, INVOKE = 2, 4, 16


HANDLER = """
from worker import handler

@handler("{queue}")
async def work(payload: dict) -> None: ...
"""
ORDINARY, OTHERS = "ordinary", "say-friend"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with an administrator and an ordinary user."""
    arguments = ["server", "--json", "--port", "0", "--grpc-port", "0"]
    arguments += ["--user", f"{USER}:{PASSWORD}", "--plain-user", f"{ORDINARY}:{OTHERS}"]
    with running(*arguments, folder=tmp_path_factory.mktemp("guarded")) as server:
        yield str(json.loads(server.wait_for("{"))["ws"])


@pytest.fixture
def admin(cli: Cli, guarded: str, tmp_path: Path) -> Cli:
    """Run a command as the administrator."""

    def run(*arguments: str, **environment: str) -> Finished:
        return cli(*arguments, **{**signed_environment(guarded, tmp_path), **environment})

    return run


@pytest.fixture
def ordinary(admin: Cli) -> Cli:
    """Run a command as the ordinary user."""

    def run(*arguments: str, **environment: str) -> Finished:
        signed = {"OPENIAP_USERNAME": ORDINARY, "OPENIAP_PASSWORD": OTHERS}
        return admin(*arguments, **{**signed, **environment})

    return run


@pytest.fixture
def on_server(guarded: str) -> Callable[[Callable[[Client], Awaitable[Any]]], Any]:
    """Do something over a client of the administrator's own."""

    def do(work: Callable[[Client], Awaitable[Any]]) -> Any:
        async def signed_in() -> Any:
            client = NativeClient(ConnectionOptions(guarded, username=USER, password=PASSWORD))
            await client.connect()
            try:
                return await work(client)
            finally:
                await client.disconnect()

        return asyncio.run(signed_in())

    return do


def queue_with(on_server: Any, name: str, rights: int) -> None:
    """Make a queue on which the ordinary user has some rights."""

    async def make(client: Client) -> None:
        (user,) = await client.query("users", {"name": ORDINARY})
        acl = [{"_id": user["_id"], "rights": rights}]
        await client.add_workitem_queue(WorkItemQueue(name=name, acl=acl))

    on_server(make)


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        (READ | UPDATE | INVOKE, []),
        (READ | UPDATE, ["invoke"]),
        (READ | INVOKE, ["update"]),
        (READ, ["update", "invoke"]),
    ],
)
def test_doctor_names_each_right_that_is_missing_on_a_queue(
    ordinary: Cli, on_server: Any, rights: int, missing: list[str]
) -> None:
    name = f"rights-{rights}"
    queue_with(on_server, name, rights)
    found = json.loads(ordinary("doctor", "--json", wiq=name).stdout)["checks"]
    (check,) = [check for check in found if check["name"] == "queue"]
    assert check["verdict"] == ("failed" if missing else "ok")
    for right in ("read", "update", "invoke"):
        assert (f"{right} (to " in check["detail"]) is (right in missing), check["detail"]
    assert (f"queues update {name} --role" in check["detail"]) is bool(missing)


@pytest.mark.parametrize("rights", [UPDATE | INVOKE, 0])
def test_doctor_says_that_a_queue_may_be_one_that_this_user_must_not_read(
    ordinary: Cli, on_server: Any, rights: int
) -> None:
    name = f"unseen-{rights}"
    queue_with(on_server, name, rights)
    done = ordinary("doctor", "--json", wiq=name)
    assert done.returncode == 1
    (check,) = [one for one in json.loads(done.stdout)["checks"] if one["name"] == "queue"]
    assert check["verdict"] == "failed"
    assert "does not exist, or this user may not see it" in check["detail"]


@pytest.mark.parametrize("client", ["official", "native"])
def test_a_queue_is_given_to_a_role_or_says_how(admin: Cli, on_server: Any, client: str) -> None:
    name, use = f"given-{client}", ("--client", client)
    shown = admin("queues", "create", name, *use)
    assert f"openiap-worker queues update {name} --role NAME" in shown.stdout
    given = admin("queues", "update", name, "--role", ORDINARY, *use)
    assert given.returncode == 0
    assert "Items that wait in it keep their rights" in given.stdout
    other = admin("queues", "update", name, "--retry-delay", "1", *use)
    assert "rights" not in other.stdout, "nobody was given any"

    async def stored(client: Client) -> Any:
        (user,) = await client.query("users", {"name": ORDINARY})
        (found,) = await client.query("mq", {"_type": "workitemqueue", "name": name})
        return found["maxretries"], [
            ace["rights"] for ace in found["_acl"] if ace["_id"] == user["_id"]
        ]

    assert on_server(stored) == (3, [READ | UPDATE | INVOKE])
    unknown = admin("queues", "create", f"un{name}", "--role", "Nobodies", *use)
    assert unknown.returncode == 1
    assert "There is no role or user Nobodies" in unknown.stderr
    assert admin("queues", "update", f"un{name}", "--max-retries", "5", *use).returncode == 1, (
        "nothing was made"
    )


@pytest.mark.parametrize("client", ["official", "native"])
def test_a_queue_that_may_not_be_deleted_keeps_its_items(
    ordinary: Cli, on_server: Any, client: str
) -> None:
    name = f"kept-{client}"
    queue_with(on_server, name, READ | UPDATE | INVOKE)
    answer(ordinary("push", name, "--count", "2", "--json"))
    refused = ordinary("queues", "delete", name, "--yes", "--client", client)
    assert refused.returncode == 1
    assert "lacks the right to delete it. Nothing was deleted." in refused.stderr
    assert on_server(lambda one: one.count("workitems", {"wiq": name})) == 2


def test_the_official_client_deletes_a_queue_by_a_call_that_openiap_takes(
    admin: Cli, on_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses to delete one document of a queue."""

    async def refused(*_: object, **__: object) -> int:
        raise AssertionError("Access Denied, you must call DeleteWorkItemQueue to delete")

    answer(admin("queues", "create", "gone", "--json"))
    monkeypatch.setattr(Client, "delete_one", refused)
    deleted = admin("queues", "delete", "gone", "--yes", "--client", "official")
    assert deleted.returncode == 0, deleted.stderr
    assert on_server(lambda one: one.count("mq", {"name": "gone"})) == 0


@pytest.mark.parametrize("client", ["official", "native"])
def test_missing_rights_end_a_worker_that_ends_with_its_queue(
    ordinary: Cli, on_server: Any, tmp_path: Path, client: str
) -> None:
    name = f"unpopped-{client}"
    queue_with(on_server, name, READ | UPDATE)
    on_server(lambda one: one.push_workitem(name, {}))
    code = HANDLER.format(queue=name)
    (tmp_path / f"mine_{client}.py").write_text(code, encoding="utf-8")
    ended = ordinary("run", "--handlers", f"mine_{client}.py", "--once", "--client", client)
    assert ended.returncode == 1
    assert on_server(lambda one: one.count("workitems", {"wiq": name, "state": "new"})) == 1


@pytest.mark.parametrize("client", ["official", "native"])
def test_items_that_wait_keep_their_rights_when_a_queue_is_given_to_a_role(
    admin: Cli, ordinary: Cli, client: str
) -> None:
    name, use = f"waiting-{client}", ("--client", client)
    assert admin("queues", "create", name, *use).returncode == 0
    assert admin("push", name, "--payload", '{"n": "before"}', *use).returncode == 0
    assert admin("queues", "update", name, "--role", ORDINARY, *use).returncode == 0
    assert admin("push", name, "--payload", '{"n": "after"}', *use).returncode == 0
    listed = ordinary("items", "list", "--queue", name, "--json", *use)
    assert len(json.loads(listed.stdout)) == 1, "who was given some sees new ones alone"
