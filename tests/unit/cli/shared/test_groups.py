"""Groups of options: on the command line each by itself, in the command one typed object."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from worker.cli.shared.groups import grouped

Loud = Annotated[bool, typer.Option("--loud")]


@dataclass(frozen=True)
class Place:
    host: Annotated[str, typer.Option("--host", help="Where.")] = "here"
    ports: Annotated[list[int] | None, typer.Option("--port")] = None
    inner: str = "no option"


def run(command: Any, *given: str) -> Any:
    app = typer.Typer()
    app.command("go")(command)
    return CliRunner().invoke(app, given)


def test_command_gets_its_options_as_one_object_and_its_own_beside_it() -> None:
    got: list[tuple[str, Place, bool]] = []

    @grouped
    def go(
        name: str, place: Place, *, loud: Annotated[bool, typer.Option("--loud")] = False
    ) -> None:
        """Go somewhere."""
        got.append((name, place, loud))

    assert run(go, "one", "--port", "1", "--port", "2", "--loud").exit_code == 0
    assert run(go, "two", "--host", "there").exit_code == 0
    assert got == [
        ("one", Place(ports=[1, 2]), True),
        ("two", Place(host="there"), False),
    ]


def test_help_and_refusals_are_those_of_options_written_in_the_command() -> None:
    @grouped
    def go(place: Place) -> None:
        """Go somewhere."""

    def plain(
        host: Annotated[str, typer.Option("--host", help="Where.")] = "here",
        ports: Annotated[list[int] | None, typer.Option("--port")] = None,
    ) -> None:
        """Go somewhere."""

    for given in (["--help"], ["--port", "x"], ["--inner", "y"]):
        ours, theirs = run(go, *given), run(plain, *given)
        assert ours.output == theirs.output
        assert ours.exit_code == theirs.exit_code


def test_option_of_two_groups_or_of_group_and_command_is_refused_when_it_is_declared() -> None:
    def go(place: Place, host: str = "") -> None:
        pass

    with pytest.raises(ValueError, match="host"):
        grouped(go)
