"""What ``dev`` shows: lines as they come, panels for trouble, and one line of status below."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from worker.cli.dev.child_process import Broken, Prepared
from worker.cli.shared.output import many, safe, show, show_facts, to_stdout
from worker.localserver import LocalServer

SHOWN_CHANGES: Final = 3
STYLES: Final = {"new": "", "processing": "cyan", "successful": "green", "failed": "red"}


class DevView:
    """The terminal of one session; use as a context manager while there is a status line."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or to_stdout()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._lasting = self._console.is_terminal
        self._entry = ""
        self._told: Prepared | None = None
        self._shown = ""
        self._present = 0

    def __enter__(self) -> Self:
        if self._lasting:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def begin(
        self, server: LocalServer, data: Path | None, entry: str, watch: Sequence[Path]
    ) -> None:
        """Say where everything is.

        Args:
            entry: the shell's command that lets other commands sign in here.
        """
        self._entry = entry
        self._console.print("[bold]openiap-worker dev[/bold]: a server, a worker, and your code")
        facts = [
            ("server", server.ws_url),
            ("data", str(data) if data else "in memory, gone when it stops"),
            ("watching", ", ".join(map(str, watch))),
        ]
        show_facts(self._console, facts)
        self._console.print("Ctrl-C stops it.", style="dim")

    def pages(self, url: str, credentials: tuple[str, str]) -> None:
        """Say where pages are open, and who may sign in there."""
        name, password = credentials
        self._console.print(safe(f"pages: {url}/  sign in as {name} with {password}"))

    def changed(self, paths: Sequence[str], folder: Path) -> None:
        """Say what changed."""
        shown = [_short(path, folder) for path in paths[:SHOWN_CHANGES]]
        more = len(paths) - len(shown)
        names = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
        self._console.print(safe(f"changed: {names}"), style="dim")

    def prepared(self, prepared: Prepared, made: Sequence[str]) -> None:
        """Show the handlers, unless they are the same as before."""
        if made:
            what = "queue" if len(made) == 1 else "queues"
            self._console.print(safe(f"made {what}: {', '.join(made)}"), style="dim")
        if prepared == self._told:
            return
        self._told = prepared
        rows = [(h.queue, h.name, h.execution, h.concurrency) for h in prepared.handlers]
        self._console.print()
        show(
            self._console,
            {"queue": "whole", "handler": "", "runs": "dim", "at once": "number"},
            rows,
        )
        self._console.print("\nPush an item, in another terminal:")
        first = prepared.handlers[0]
        sample = shlex.quote(json.dumps(first.sample, ensure_ascii=False))
        self._console.print(safe(f"  {self._entry}"), soft_wrap=True, style="bold")
        self._console.print(
            safe(f"  openiap-worker push {shlex.quote(first.queue)} --payload {sample}"),
            soft_wrap=True,
            style="bold",
        )
        self._console.print()

    def working(self, number: int) -> None:
        """Say that new code works."""
        self._present = number
        text = "working" if number == 1 else f"reloaded: generation {number} works"
        self._console.print(safe(text), style="green")

    def broken(self, broken: Broken, kept: int) -> None:
        """Show why new code cannot be used."""
        parts: list[Text] = [safe(broken.text)]
        if broken.excerpt:
            parts.append(Text(""))
        for number, line in broken.excerpt:
            here = number == broken.line
            shown = safe(f"{'>' if here else ' '} {number:>4}  {line}")
            shown.stylize("bold red" if here else "dim")
            parts.append(shown)
        goes_on = (
            f"generation {kept} goes on with the old code" if kept else "nothing works meanwhile"
        )
        self._console.print(
            Panel(
                Group(*parts),
                title="[bold red]the new code cannot be used[/bold red]",
                subtitle=f"{goes_on}; save again when it is right",
                border_style="red",
            )
        )

    def died(self, number: int, code: int, again: bool) -> None:
        """Say that the worker's process is gone."""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        then = "it is started again" if again else "save a change to start it again"
        text = f"generation {number} ended by itself ({how}); {then}"
        self._console.print(Panel(safe(text), border_style="red"))

    def line(self, number: int, text: str) -> None:
        """Show a line that a worker (or with 0 the server) printed, with its colours."""
        plain = Text.from_ansi(text)
        shown = safe(plain.plain)
        if shown.plain == plain.plain:
            shown = plain
        before = Text(f"[{number}] " if 0 < number < self._present else "", style="dim")
        self._console.print(before + shown, soft_wrap=True)

    def status(self, number: int, finishing: int, counts: Mapping[str, int]) -> None:
        """Set the line below; without a terminal there is none."""
        told = f"generation {number} works" if number else "nothing works yet"
        if finishing:
            told += f", {many(finishing, 'older one')} finishing"
        states = "".join(f" · {state} {counts[state]:,}" for state in STYLES)
        if told + states == self._shown:
            return
        self._shown = told + states
        if not self._lasting:
            return
        line = Text(f"{told} ", style="bold")
        for state, style in STYLES.items():
            line.append(f" · {state} ", style="dim")
            line.append(f"{counts[state]:,}", style=style if counts[state] else "dim")
        self._live.update(line, refresh=True)

    # As the log of ``Signals``

    def info(self, message: str, **fields: object) -> None:
        """Say that it stops."""
        self._console.print(
            safe(f"\n{message}; Ctrl-C again does not wait for items in flight"), style="dim"
        )

    def warn(self, message: str, **fields: object) -> None:
        """Say that it hurries."""
        self._console.print(safe(message), style="yellow")


def _short(path: str, folder: Path) -> str:
    found = Path(path)
    return str(found.relative_to(folder)) if found.is_relative_to(folder) else path
