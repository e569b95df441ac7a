"""``queues pause``, ``resume``, ``show``, ``purge`` with filters, and ``breakers``."""

import pytest

from tests.integration.cli.commands import Cli, answer


@pytest.mark.parametrize("client", [pytest.param("official", marks=pytest.mark.dear), "native"])
def test_a_queue_is_paused_seen_and_resumed(signed: Cli, client: str) -> None:
    name, use = f"rest-{client}", ("--client", client)
    made = signed("queues", "create", name, *use)
    assert "3 attempts and no delay" in made.stderr
    assert "No failed queue" in made.stderr
    paused = signed("queues", "pause", name, "--reason", "the bank is shut", "--for", "2h", *use)
    assert paused.returncode == 0
    assert f"Queue {name} is paused by " in paused.stdout
    listed = signed("queues", "list", *use)
    assert "the bank is shut" in " ".join(listed.stdout.split())
    found = {one["name"]: one for one in answer(signed("queues", "list", "--json", *use))}
    assert found[name]["paused"]["reason"] == "the bank is shut"
    assert found[name]["paused"]["until"]
    answer(signed("queues", "update", name, "--retry-delay", "60", "--json", *use))
    shown = answer(signed("queues", "show", name, "--json", *use))
    assert shown["paused"]["reason"] == "the bank is shut", "a change of the queue keeps it"
    assert (shown["retry_delay"], shown["due"], shown["workers"]) == (60, 0, 0)
    assert len(shown["advice"]) == 1
    assert answer(signed("queues", "resume", name, "--json", *use))["paused"] is None
    assert "paused" not in signed("queues", "show", name, *use).stdout


def test_an_end_that_cannot_be_is_refused(signed: Cli) -> None:
    signed("queues", "create", "ends")
    for arguments, text in {
        ("--for", "2h", "--until", "3h"): "--until and --for: give one of them.\n",
        ("--for", "soon"): "--for soon: allowed: a time like 90s, 2h or 3d.\n",
        ("--until", "never"): "--until never: allowed: a wait like 90s, 5m or 1h30m, or a date",
        ("--until", "2020-01-01T00:00"): "The pause would be over: ",
    }.items():
        refused = signed("queues", "pause", "ends", *arguments)
        assert (refused.returncode, refused.stderr[: len(text)]) == (2, text)


def test_a_purge_with_a_filter_leaves_the_rest(signed: Cli) -> None:
    answer(signed("queues", "create", "some", "--json"))
    for customer in ("acme", "other"):
        payload = f'{{"customer": "{customer}"}}'
        answer(signed("push", "some", "--payload", payload, "--count", "3", "--json"))
    chosen = ("queues", "purge", "some", "--where", "payload.customer=acme")
    refused = signed(*chosen)
    assert refused.stderr == (
        "Delete 3 items of queue some? Nobody is there to answer: add --yes.\n"
    )
    gone = answer(signed(*chosen, "--yes", "--json"))
    assert gone == {"queue": "some", "deleted": 3, "changed": 0, "failed": 0}
    left = answer(signed("items", "list", "--queue", "some", "--json"))
    assert len(left) == 3


def test_a_breaker_that_nobody_brought_is_named(signed: Cli) -> None:
    assert answer(signed("breakers", "list", "--queue", "some", "--json")) == []
    refused = signed("breakers", "open", "payments", "--queue", "some")
    assert refused.returncode == 1
    assert refused.stderr.startswith("There is no breaker payments for queue some that a worker")
