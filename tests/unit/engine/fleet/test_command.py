"""Which commands of a mailbox are to be done, and who gave them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.engine.fleet.command import MOST, Command, commands_of, is_over

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def box(*commands: Command) -> dict[str, Any]:
    return {
        "commands": [command.document() for command in commands],
        "_modifiedby": "op",
        "_modifiedbyid": "op-id",
    }


def command(id: str, seconds: float = 30.0) -> Command:
    return Command(id, "quiet", NOW + timedelta(seconds=seconds))


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
