"""Questions before something is lost."""

import sys

import typer

from worker.cli.shared.problems import wrong_use


def agreed(question: str, *, yes: bool) -> None:
    """Ask, unless ``yes`` was given; a no ends the command.

    Raises:
        Problem: there is nobody to ask.
        typer.Abort: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise wrong_use(f"{question} Nobody is there to answer: add --yes.")
    if not typer.confirm(question, err=True):
        raise typer.Abort
