"""``queues``, ``push`` and ``items`` against a server, with both clients."""

import json
from pathlib import Path

import pytest

from tests.integration.cli.commands import Cli, answer

CLIENTS = ["official", "native"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_queue_is_created_changed_and_deleted(signed: Cli, client: str) -> None:
    name, then = f"life-{client}", f"then-{client}"
    use = ("--client", client, "--json")
    answer(signed("queues", "create", then, *use))
    made = answer(
        signed(
            *("queues", "create", name, "--max-retries", "5", "--retry-delay", "7"),
            *("--initial-delay", "1", "--amqp-queue", "mq1", "--success-queue", then, *use),
        )
    )
    assert len(made.pop("advice")) == 1
    assert {k: v for k, v in made.items() if k != "id"} == {
        "paused": None,
        "name": name,
        "max_retries": 5,
        "retry_delay": 7,
        "initial_delay": 1,
        "amqp_queue": "mq1",
        "success_queue": then,
        "failed_queue": made["failed_queue"],
    }
    assert not made["failed_queue"]
    changed = answer(
        signed("queues", "update", name, "--max-retries", "2", "--success-queue", "", *use)
    )
    assert (changed["max_retries"], changed["retry_delay"]) == (2, 7)
    assert not changed["success_queue"]
    listed = {queue["name"]: queue for queue in answer(signed("queues", "list", *use))}
    assert listed[name]["items"] == {"new": 0, "processing": 0, "successful": 0, "failed": 0}
    answer(signed("push", name, "--count", "3", *use))
    assert signed("queues", "delete", name, "--yes", "--client", client).returncode == 0
    assert name not in {queue["name"] for queue in answer(signed("queues", "list", *use))}
    assert not [i for i in answer(signed("items", "list", *use)) if i["queue"] == name]


@pytest.mark.parametrize("client", CLIENTS)
def test_purging_deletes_items_and_files_and_keeps_the_queue(
    signed: Cli, client: str, tmp_path: Path
) -> None:
    name = f"purge-{client}"
    use = ("--client", client, "--json")
    (tmp_path / "a.txt").write_text("a")
    answer(signed("queues", "create", name, *use))
    answer(signed("push", name, "--count", "250", *use))
    answer(signed("push", name, "--file", "a.txt", *use))
    refused = signed("queues", "purge", name, "--client", client)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"Delete 251 items of queue {name}? Nobody is there to answer: add --yes.\n"
    )
    assert answer(signed("queues", "purge", name, "--yes", *use)) == {
        "queue": name,
        "deleted": 251,
    }
    assert answer(signed("items", "list", "--queue", name, *use)) == []


def test_queues_that_are_not_there_or_there_already_are_named(signed: Cli) -> None:
    answer(signed("queues", "create", "twice", "--json"))
    again = signed("queues", "create", "twice")
    assert (again.returncode, again.stderr) == (
        1,
        "Queue twice exists already. To change it: openiap-worker queues update twice.\n",
    )
    missing = (
        "There is no queue Twice, or this user has no rights on it. Names are case-sensitive;"
        " see: openiap-worker queues list.\n"
    )
    for arguments in (
        ("queues", "update", "Twice", "--max-retries", "2"),
        ("queues", "purge", "Twice", "--yes"),
        ("queues", "delete", "Twice", "--yes"),
        ("queues", "create", "other", "--success-queue", "Twice"),
        ("items", "list", "--queue", "Twice"),
        ("push", "Twice"),
    ):
        refused = signed(*arguments)
        assert (refused.returncode, refused.stderr) == (1, missing), arguments
    nothing = signed("queues", "update", "twice")
    assert (nothing.returncode, nothing.stderr) == (
        2,
        "Nothing to change: give at least one option, for example --max-retries 5.\n",
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_of_items_arrives_whole_and_in_order(
    signed: Cli, client: str, tmp_path: Path
) -> None:
    name = f"bulk-{client}"
    use = ("--client", client, "--json")
    answer(signed("queues", "create", name, *use))
    lines = "".join(json.dumps({"n": n, "text": "ä" * 50}) + "\n" for n in range(300))
    (tmp_path / "items.jsonl").write_text(lines, encoding="utf-8")
    pushed = answer(
        signed(
            *("push", name, "--from", "items.jsonl", "--name", "bulk", "--priority", "7"),
            *("--next-run", "1h", *use),
        )
    )
    assert (pushed["pushed"], pushed["of"], len(set(pushed["ids"]))) == (300, 300, 300)
    items = answer(signed("items", "list", "--queue", name, "--limit", "1000", *use))
    assert sorted(item["id"] for item in items) == sorted(pushed["ids"])
    assert {(i["name"], i["priority"], i["state"]) for i in items} == {("bulk", 7, "new")}
    shown = answer(signed("items", "show", pushed["ids"][42], *use))
    marks = shown["payload"].pop("openiap_worker")
    assert shown["payload"] == {"n": 42, "text": "ä" * 50}
    assert set(marks) == {"due"}, "a pop does not tell when an item was due"
    assert shown["nextrun"] > shown["created"]


def test_nothing_is_pushed_when_a_line_is_bad(signed: Cli) -> None:
    answer(signed("queues", "create", "strict", "--json"))
    refused = signed("push", "strict", "--from", "-", stdin='{"a":1}\n{"a":\n')
    assert (refused.returncode, refused.stderr) == (
        2,
        "standard input line 2 is not JSON: Expecting value at line 1, column 6.\n"
        "Nothing was pushed.\n",
    )
    assert answer(signed("items", "list", "--queue", "strict", "--json")) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("--payload", "{'a': 1}"),
            "--payload is not JSON: Expecting property name enclosed in double quotes at line 1,"
            " column 2.",
        ),
        (("--payload", "[]"), "--payload is an array; it must be a JSON object."),
        (("--payload", "{}", "--from", "-"), "--payload and --from: give one of them."),
        (("--file", "no.pdf"), "--file no.pdf: no such file."),
    ],
)
def test_wrong_pushes_are_refused_before_anything_is_sent(
    cli: Cli, arguments: tuple[str, ...], text: str
) -> None:
    refused = cli("push", "q", *arguments)
    assert (refused.returncode, refused.stderr) == (2, f"{text}\n")


def test_an_item_is_shown_with_its_files_put_back_and_deleted(signed: Cli, tmp_path: Path) -> None:
    answer(signed("queues", "create", "shown", "--json"))
    (tmp_path / "scan.pdf").write_bytes(b"x" * 2000)
    (id,) = answer(
        signed("push", "shown", "--payload", '{"a": 1}', "--file", "scan.pdf", "--json")
    )["ids"]
    shown = answer(signed("items", "show", id, "--json"))
    assert [(file["name"], file["bytes"]) for file in shown["files"]] == [("scan.pdf", 2000)]
    page = signed("items", "show", id).stdout
    assert "scan.pdf" in page
    assert "1.95 KB" in page
    new = signed("items", "retry", id)
    assert (new.returncode, new.stderr) == (1, f"Item {id} is new already; nothing to do.\n")
    asked = signed("items", "delete", id)
    assert (asked.returncode, asked.stderr) == (
        2,
        "Delete 1 item? Nobody is there to answer: add --yes.\n",
    )
    done = signed("items", "delete", id, "nosuch", "--yes", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "deleted": [id],
        "errors": {"nosuch": "There is no item nosuch, or this user has no rights on it."},
    }
    gone = signed("items", "show", id)
    assert (gone.returncode, gone.stderr) == (
        1,
        f"There is no item {id}, or this user has no rights on it.\n",
    )


def test_an_unknown_state_is_refused(cli: Cli) -> None:
    refused = cli("items", "list", "--state", "done")
    assert (refused.returncode, refused.stderr) == (
        2,
        "--state done: allowed: new, processing, successful, failed.\n",
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_a_unique_push_finds_the_item_that_has_the_key(signed: Cli, client: str) -> None:
    name = f"unique-{client}"
    use = ("--client", client)
    answer(signed("queues", "create", name, *use, "--json"))
    first = answer(signed("push", name, "--unique", "a", "--next-run", "1h", *use, "--json"))
    assert (first["pushed"], first["existing"], first["updated"]) == (1, False, False)
    (id,) = first["ids"]
    again = signed("push", name, "--unique", "a", *use)
    assert again.stdout == (
        f"Item {id} of {name} has that unique key already. Nothing was pushed.\n"
    )
    updated = signed(
        "push", name, "--unique", "a", "--unique-update", "--payload", '{"n": 2}', *use
    )
    assert updated.stdout == (
        f"Item {id} of {name} has that unique key already. It took the new values.\n"
    )
    (item,) = answer(signed("items", "list", "--queue", name, *use, "--json"))
    assert item["id"] == id
    options = ("--unique", "a", "--unique-while", "waiting", "--expires", "1h")
    assert answer(signed("push", name, *options, *use, "--json"))["ids"] == [id]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--unique", "a", "--count", "2"), "--unique: one item has the key; push one at a time."),
        (("--unique-for", "1h"), "--unique: push: unique_for needs unique."),
        (
            ("--unique", "a", "--unique-while", "asleep"),
            "--unique-while asleep: allowed: unfinished, waiting.",
        ),
        (("--unique-while", "waiting"), "--unique: push: unique_while needs unique."),
        (
            ("--expires", "5m", "--next-run", "1h"),
            "--expires: expires = '5m' is before the item is due.",
        ),
        (
            ("--unique", ""),
            '--unique: unique: "" is empty; allowed: text of 1 to 1,000 bytes.',
        ),
    ],
)
def test_what_cannot_be_pushed_as_unique_is_refused(
    signed: Cli, options: tuple[str, ...], text: str
) -> None:
    refused = signed("push", "anywhere", *options)
    assert (refused.returncode, refused.stderr.strip()) == (2, text)


@pytest.mark.parametrize("name", ["{0} {a}", "100%s", "[bold]", "-x", "ä 🐍"])
def test_a_queue_may_have_any_name(signed: Cli, name: str) -> None:
    answer(signed("queues", "create", "--json", "--", name))
    answer(signed("push", "--json", "--", name))
    assert answer(signed("queues", "purge", "--yes", "--json", "--", name))["deleted"] == 1
    assert answer(signed("queues", "delete", "--yes", "--json", "--", name))["deleted"]
