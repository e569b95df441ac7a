"""Before something is lost: people are asked, and then they see how far it is."""

import sys

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.cli.shared.errors import usage_error
from worker.cli.shared.output import to_stderr


def confirm(question: str, *, yes: bool, typed: str = "") -> None:
    """Ask before something is lost, unless ``yes`` was given; a no ends the command.

    Args:
        question: what is asked.
        yes: whether ``--yes`` was given.
        typed: what has to be typed instead of a y, for what cannot be had back and is much.

    Raises:
        CommandError: there is nobody to ask.
        typer.Abort: the answer is no, or something else was typed.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise usage_error(f"{question} Nobody is there to answer: add --yes.")
    if not typed:
        if not typer.confirm(question, err=True):
            raise typer.Abort
        return
    answer = typer.prompt(f"Type {typed} to go on", err=True, default="", show_default=False)
    if answer.strip() != typed:
        raise typer.Abort


def bar(total: int) -> Progress:
    """Return a bar on stderr, so that stdout stays for results; none for a single item."""
    console = to_stderr()
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=total < 2 or not console.is_terminal,
    )
