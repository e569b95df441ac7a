"""Rights: who may work a queue is given, checked one by one, and said before anything is done."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.integration.cli.commands import PASSWORD, USER, Cli, answer
from worker.openiap.client import Client
from worker.openiap.native import NativeClient
from worker.openiap.types import ConnectionOptions

READ, UPDATE, DELETE, INVOKE = 2, 4, 8, 16


@pytest.fixture
def on_server(server_url: str) -> Callable[[Callable[[Client], Awaitable[Any]]], Any]:
    """Do something over a client of its own."""

    def do(work: Callable[[Client], Awaitable[Any]]) -> Any:
        async def signed_in() -> Any:
            options = ConnectionOptions(server_url, username=USER, password=PASSWORD)
            client = NativeClient(options)
            await client.connect()
            try:
                return await work(client)
            finally:
                await client.disconnect()

        return asyncio.run(signed_in())

    return do


def queue_with(on_server: Any, name: str, rights: int) -> None:
    """Make a queue on which this user has some rights alone."""

    async def make(client: Client) -> None:
        assert client.user is not None
        document = {"_type": "workitemqueue", "name": name, "maxretries": 3}
        made = await client.insert_one("mq", document)
        acl = [{"_id": client.user.id, "name": USER, "rights": rights}]
        await client.update_one("mq", {**made, "_acl": acl})

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
    signed: Cli, on_server: Any, rights: int, missing: list[str]
) -> None:
    name = f"rights-{rights}"
    queue_with(on_server, name, rights)
    found = json.loads(signed("doctor", "--json", wiq=name).stdout)["checks"]
    (check,) = [check for check in found if check["name"] == "queue"]
    assert check["verdict"] == ("failed" if missing else "ok")
    for right in ("read", "update", "invoke"):
        assert (f"{right} (to " in check["detail"]) is (right in missing), check["detail"]
    assert (f"queues update {name} --role" in check["detail"]) is bool(missing)


@pytest.mark.parametrize("client", ["official", "native"])
def test_a_queue_is_given_to_a_role_or_says_how(signed: Cli, on_server: Any, client: str) -> None:
    name, use = f"given-{client}", ("--client", client)
    shown = signed("queues", "create", name, *use)
    assert f"openiap-worker queues update {name} --role NAME" in shown.stdout
    assert signed("queues", "update", name, "--role", USER, *use).returncode == 0

    async def stored(client: Client) -> Any:
        assert client.user is not None
        (found,) = await client.query("mq", {"_type": "workitemqueue", "name": name})
        return found["maxretries"], [
            ace["rights"] & (READ | UPDATE | INVOKE)
            for ace in found["_acl"]
            if ace["_id"] == client.user.id
        ]

    assert on_server(stored) == (3, [READ | UPDATE | INVOKE])
    unknown = signed("queues", "create", f"un{name}", "--role", "Nobodies", *use)
    assert unknown.returncode == 1
    assert "There is no role or user Nobodies" in unknown.stderr
    assert signed("queues", "update", f"un{name}", "--max-retries", "5", *use).returncode == 1, (
        "nothing was made"
    )


@pytest.mark.parametrize("client", ["official", "native"])
def test_a_queue_that_may_not_be_deleted_keeps_its_items(
    signed: Cli, on_server: Any, client: str
) -> None:
    name = f"kept-{client}"
    queue_with(on_server, name, READ | UPDATE | INVOKE)
    answer(signed("push", name, "--count", "2", "--json"))
    refused = signed("queues", "delete", name, "--yes", "--client", client)
    assert refused.returncode == 1
    assert "lacks the right to delete it. Nothing was deleted." in refused.stderr
    assert on_server(lambda one: one.count("workitems", {"wiq": name})) == 2


def test_the_official_client_deletes_a_queue_by_a_call_that_openiap_takes(
    signed: Cli, on_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses to delete one document of a queue."""

    async def refused(*_: object, **__: object) -> int:
        raise AssertionError("Access Denied, you must call DeleteWorkItemQueue to delete")

    answer(signed("queues", "create", "gone", "--json"))
    monkeypatch.setattr(Client, "delete_one", refused)
    deleted = signed("queues", "delete", "gone", "--yes", "--client", "official")
    assert deleted.returncode == 0, deleted.stderr
    assert on_server(lambda one: one.count("mq", {"name": "gone"})) == 0
