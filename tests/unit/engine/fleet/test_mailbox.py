"""Which mailbox is a worker's own, and which commands in it are to be done."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cases import each
from worker.engine.fleet.mailbox import (
    ADMINS,
    FULL,
    MOST,
    NOT_SEALED,
    STEERS,
    Command,
    Seal,
    commands_of,
    is_over,
    refusal_of,
)

NOW = datetime(2026, 5, 4, tzinfo=UTC)
SEAL = Seal("mailbox-1", "5ea1", {"me": FULL, "op": STEERS, ADMINS: FULL})
ACL = [
    {"_id": "me", "name": "me", "rights": FULL},
    {"_id": "op", "name": "op", "rights": STEERS},
    {"_id": ADMINS, "name": "admins", "rights": FULL},
]


def box(*commands: Command, **more: Any) -> dict[str, Any]:
    return {
        "_id": "mailbox-1",
        "seal": "5ea1",
        "commands": [command.document() for command in commands],
        "_acl": ACL,
        "_modifiedby": "op",
        "_modifiedbyid": "op-id",
        **more,
    }


def command(id: str, seconds: float = 30.0) -> Command:
    return Command(id, "quiet", NOW + timedelta(seconds=seconds))


@each(
    ("change", "why"),
    [
        ({}, ""),
        ({"_acl": ACL[:1]}, ""),
        ({"_id": "mailbox-2"}, "not the document"),
        ({"seal": "5ea2"}, NOT_SEALED),
        ({"seal": None}, NOT_SEALED),
        ({"seal": "é"}, NOT_SEALED),
        ({"seal": "\ud800"}, NOT_SEALED),
        ({"_acl": [*ACL, {"_id": "users", "name": "users", "rights": 6}]}, "names users"),
        ({"_acl": [ACL[0], {"_id": "op", "name": "op", "rights": FULL}]}, "names op"),
        ({"_acl": [{"_id": "op", "name": "op", "rights": "all"}]}, "names op"),
        ({"_acl": [{"_id": "op", "name": "op", "rights": -1}]}, "names op"),
        ({"_acl": [5]}, "names somebody else"),
        ({"_acl": []}, "no list of rights"),
        ({"_acl": None}, "no list of rights"),
    ],
)
def test_a_mailbox_counts_only_as_this_worker_made_it(change: dict[str, Any], why: str) -> None:
    said = refusal_of(box(**change), SEAL)
    assert why in said
    assert bool(said) == bool(why)


def test_who_gave_a_command_is_who_wrote_last_as_the_server_says() -> None:
    one = {**command("a").document(), "by": "boss", "byid": "boss-id", "_modifiedby": "boss"}
    found = commands_of({**box(), "commands": [one]})
    assert [(each.by, each.byid) for each in found] == [("op", "op-id")]
    several = commands_of(box(command("a"), command("b")))
    assert [(each.id, each.by) for each in several] == [("a", ""), ("b", "op")]


def test_a_command_is_new_once_and_the_last_ones_count() -> None:
    many = [command(str(n)) for n in range(3 * MOST)]
    found = commands_of(box(*many), [str(3 * MOST - 1)])
    assert [each.id for each in found] == [str(n) for n in range(2 * MOST, 3 * MOST - 1)]


@pytest.mark.parametrize(
    ("seconds", "over"), [(-1, True), (0, True), (1, False), (3_600, False), (3_601, True)]
)
def test_a_command_holds_until_its_time_and_for_an_hour_at_most(seconds: float, over: bool) -> None:
    assert is_over(command("a", seconds), NOW, NOW) == over


def test_a_later_write_does_not_make_an_old_command_new() -> None:
    later = NOW + timedelta(seconds=40)
    assert is_over(command("a", 30.0), later, later)
