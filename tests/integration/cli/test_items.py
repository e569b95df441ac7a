"""``items``: which items, what fails and why, and many of them changed at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.commands import Cli, answer
from worker.management.items.indexes import INDEXES


def failed_items(signed: Cli, tmp_path: Path, queue: str, count: int) -> None:
    """Push items, and have a worker fail them."""
    answer(signed("queues", "create", queue, "--max-retries", "1", "--json"))
    lines = "".join(json.dumps({"n": n, "customer": f"c{n % 2}"}) + "\n" for n in range(count))
    answer(signed("push", queue, "--from", "-", "--json", stdin=lines))
    code = (
        "from worker import BusinessError, handler\n\n\n"
        f'@handler("{queue}", concurrency=4)\n'
        "async def work(payload: dict) -> None:\n"
        '    raise BusinessError(f"order {payload[\'n\']} is gone", code="GONE")\n'
    )
    module = f"fails_{queue}.py"
    (tmp_path / module).write_text(code, encoding="utf-8")
    ended = signed("run", "--handlers", module, "--once", OPENIAP_WORKER_HEALTH_PORT="0")
    assert ended.returncode == 0, ended.stderr


def test_what_fails_and_why_is_seen_and_put_right(signed: Cli, tmp_path: Path) -> None:
    failed_items(signed, tmp_path, "shop", 6)
    (group,) = answer(signed("items", "errors", "--queue", "shop", "--json"))
    assert (group["code"], group["message"], group["count"]) == (
        "GONE",
        "order <number> is gone",
        6,
    )
    assert set(group) == {"id", "message", "code", "count", "queues", "first", "last", "sample"}
    shown = signed("items", "errors", "--queue", "shop").stdout
    assert group["id"] in shown
    assert "[GONE] order <number> is gone" in shown

    def listed(*options: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = answer(
            signed("items", "list", "--queue", "shop", *options, "--json")
        )
        return found

    assert len(listed("--group", group["id"])) == 6
    assert len(listed("--error-code", "GONE", "--where", "payload.customer=c1")) == 3
    assert len(listed("--error-class", "BusinessError", "--where", "n in 1,2")) == 2
    assert len(listed("--attempts", ">=2")) == 0
    assert len(listed("--since", "1h", "--error-kind", "business")) == 6
    assert len(listed("--until", "1h")) == 0
    ids = [item["id"] for item in listed("--sort", "modified", "--ascending")]
    assert ids == [item["id"] for item in listed("--sort", "modified")][::-1]

    one = ("--group", group["id"], "--where", "customer=c1")
    tried = answer(signed("items", "retry", *one, "--dry-run", "--json"))
    assert (tried["count"], tried["attempts_left"], tried["conditional"]) == (3, {"1": 3}, True)
    asked = signed("items", "retry", *one)
    assert asked.returncode == 2
    assert "Retry: 3 items? Nobody is there to answer: add --yes." in asked.stderr
    assert "It leaves 1 attempt to 3 items." in asked.stderr
    assert len(listed("--state", "new")) == 0
    assert signed("items", "retry", *one, "--yes").stdout == "Put back to new: 3 items.\n"
    assert len(listed("--state", "new")) == 3

    answer(signed("queues", "create", "shop-2", "--json"))
    moved = ("items", "move", "--queue", "shop", "--state", "new", "--to", "shop-2", "--yes")
    assert signed(*moved).stdout == "Moved to shop-2: 3 items.\n"
    (first, *_) = answer(signed("items", "list", "--queue", "shop-2", "--json"))
    by_id = ("items", "priority", first["id"], "--to", "7", "--yes", "--json")
    assert answer(signed(*by_id))["done"] == 1
    patched = ("items", "edit", "--queue", "shop-2", "--patch", '{"customer": null}', "--yes")
    assert answer(signed(*patched, "--json"))["done"] == 3
    item = answer(signed("items", "show", first["id"], "--json"))
    assert (item["priority"], set(item["payload"])) == (7, {"n"})
    off = ("items", "cancel", "--queue", "shop-2", "--reason", "shut")
    assert "Cancel: 3 items? Nobody is there to answer: add --yes." in signed(*off).stderr
    assert signed(*off, "--yes").stdout == "Cancelled: 3 items.\n"
    gone = ("items", "delete", "--queue", "shop", "--error-code", "GONE", "--yes", "--json")
    assert answer(signed(*gone))["done"] == 3
    assert listed() == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("list", "--where", "$where=1"), "Filter payload = '$where'; allowed: a name like"),
        (("list", "--where", "customer"), "Filter where = 'customer'; allowed: FIELD=VALUE"),
        (("list", "--error-pattern", "(a+)+"), "allowed: no repetition of what is repeated"),
        (("list", "--error-kind", "odd"), "--error-kind odd: "),
        (("list", "--since", "soon"), "--since soon: allowed: a time ago like 90s"),
        (("list", "--attempts", "many"), "Filter attempts = 'many'; allowed: a number"),
        (("list", "--sort", "payload"), "--sort payload: allowed: created, "),
        (("list", "--group", "other"), "Filter group = 'other'; allowed: the id of one group"),
        (("list", "--group", "nope"), "Filter group = 'nope'; allowed: an id as items errors"),
        (("retry", "--group", "", "--yes"), "Filter group = ''; allowed: an id as items errors"),
        (("list", "--since", ""), "--since '': allowed: a time ago"),
        (("list", "--name", "x" * 5_000), f"--name {'x' * 200}…: String should have at most"),
        (("retry",), "Which items? Give their ids, or say which, for example --queue NAME."),
        (("retry", "a", "--queue", "q"), "Ids, and options that are for many items: give one"),
        (("retry", "--queue", "q", "--force"), "--force: it needs ids"),
        (("retry", "--queue", "q", "--spread", "long"), "--spread long: allowed: a time like"),
        (("move", "--to", "q"), "Which items?"),
        (("edit", "--queue", "q", "--patch", "[]"), "--patch is an array"),
        (
            ("edit", "--queue", "q", "--patch", '{"openiap_worker": 1}', "--yes"),
            "The patch is refused; allowed: every field but openiap_worker",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    signed: Cli, arguments: tuple[str, ...], text: str
) -> None:
    refused = signed("items", *arguments)
    assert refused.returncode == 2, refused.stderr
    assert text in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [("priority", "--to", "5"), ("move", "--to", "nowhere"), ("edit", "--patch", '{"a": 1}')],
)
def test_ids_of_nothing_are_said(signed: Cli, change: tuple[str, ...]) -> None:
    signed("queues", "create", "nowhere")  # or it is there already
    word, *options = change
    done = signed("items", word, "a" * 24, "b", *options, "--yes")
    assert done.returncode == 1
    assert "2 of 2 items cannot be: not there, not for this user" in done.stderr
    assert signed("items", word, "b", *options, "--yes", "--json").returncode == 1


def test_the_indexes_are_made_once(signed: Cli) -> None:
    assert len(answer(signed("items", "index", "--json"))["made"]) == len(INDEXES)
    assert signed("items", "index").stdout == "All indexes are there.\n"


def test_an_item_is_told_what_it_waits_for(signed: Cli) -> None:
    answer(signed("queues", "create", "told", "--json"))
    (id,) = answer(signed("push", "told", "--json"))["ids"]
    told = ("items", "signal", id, "approval", "--payload", '{"by": "Ada"}')
    assert signed(*told).stdout == f"Item {id} is told approval.\n"
    assert answer(signed(*told, "--json"))["signal"].startswith("signal-")
    wrong = signed("items", "signal", id, "approval", "--payload", "Ada")
    assert wrong.returncode == 2
    assert "--payload Ada: " in wrong.stderr
    nobody = signed("items", "signal", "65f2c1d4a0b1c2d3e4f50617", "approval")
    assert nobody.returncode == 1
    assert "There is no item 65f2c1d4a0b1c2d3e4f50617" in nobody.stderr
