"""``push``: items into a queue, one or a file full of them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.cli.pushing import Pushed, Wanted, push_all, push_unique
from worker.cli.shared.connected import run_async, signed_in
from worker.cli.shared.options import AsJson, ClientName, Given, SettingsFile, Url, settings_of
from worker.cli.shared.output import many, safe, say_json, to_stderr, to_stdout
from worker.cli.shared.payloads import moment, payload, payloads_from
from worker.cli.shared.problems import FAILED, explain, no_queue, wrong_use
from worker.item.unique import Unique, unique_of
from worker.openiap.errors import OpenIAPError, QueueNotFound
from worker.openiap.workitem import JsonObject


def push(
    queue: Annotated[str, typer.Argument(help="The work item queue.", show_default=False)],
    payload_text: Annotated[
        str | None,
        typer.Option("--payload", metavar="JSON", help="The payload, a JSON object. Default: {}."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="An item for each line of a .jsonl or .csv file; - reads JSON lines from stdin.",
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="The name of the items.")] = "",
    priority: Annotated[
        int, typer.Option("--priority", min=1, max=1_000_000, help="Lower numbers come first.")
    ] = 2,
    next_run: Annotated[
        str | None,
        typer.Option(
            "--next-run", metavar="WHEN", help="Not before: 5m, 1h30m, or 2026-12-24T18:00."
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", metavar="FILE", help="A file to attach; may be given several times."
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Push everything N times.")] = 1,
    unique: Annotated[
        str | None,
        typer.Option(
            "--unique",
            metavar="KEY",
            help="Push nothing while an item of this queue with KEY is not finished.",
        ),
    ] = None,
    unique_for: Annotated[
        str | None,
        typer.Option("--unique-for", metavar="TIME", help="Hold KEY after the item's end: 24h."),
    ] = None,
    unique_update: Annotated[
        bool,
        typer.Option(
            "--unique-update",
            help="The item that has KEY takes payload, earlier time and priority, if it waits.",
        ),
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
) -> None:
    """Push items to a queue.

    A file is read and checked whole before its first item is pushed.
    """
    payloads = _payloads(payload_text, source) * count
    wanted = Wanted(
        queue=queue,
        name=name,
        priority=priority,
        nextrun=None if next_run is None else moment(next_run, now=datetime.now(UTC)),
        files=_files(file or []),
        unique=_unique(unique, unique_for, unique_update, files=bool(file), many=len(payloads) > 1),
    )
    chosen = settings_of(Given(url, settings, client)).settings
    pushed = Pushed()

    async def work() -> None:
        async with signed_in(chosen) as signed:
            if wanted.unique is not None:
                await push_unique(signed, wanted, payloads[0], pushed, chosen.namespace)
                return
            with _progress(len(payloads)) as bar:
                task = bar.add_task(queue, total=len(payloads))
                await push_all(
                    signed, wanted, payloads, pushed, advance=lambda n: bar.advance(task, n)
                )

    trouble: OpenIAPError | None = None
    try:
        run_async(work())
    except OpenIAPError as error:
        trouble = error
    _say(wanted, pushed, len(payloads), trouble, as_json=as_json)
    if trouble is not None:
        raise typer.Exit(FAILED)


def _say(
    wanted: Wanted, pushed: Pushed, total: int, trouble: OpenIAPError | None, *, as_json: bool
) -> None:
    done = pushed.done
    if as_json:
        answer = {"queue": wanted.queue, "pushed": len(done), "of": total, "ids": done}
        if pushed.sent is not None:
            found = pushed.sent
            answer |= {"pushed": int(not found.existing), "existing": found.existing}
            answer |= {"updated": found.updated}
        say_json(answer if trouble is None else {**answer, "error": trouble.text})
    elif pushed.sent is not None and pushed.sent.existing:
        took = "It took the new values." if pushed.sent.updated else "Nothing was pushed."
        to_stdout().print(
            safe(f"Item {done[0]} of {wanted.queue} has that unique key already. {took}")
        )
    elif done and trouble is None:
        which = f" {done[0]}" if total == 1 else ""
        to_stdout().print(safe(f"Pushed {many(total, 'item')}{which} to {wanted.queue}."))
    if trouble is None:
        return
    unknown = isinstance(trouble, QueueNotFound)
    text = no_queue(wanted.queue) if unknown else explain(trouble).text
    if total > 1:
        text += f" {len(done)} of {total} items were pushed."
        if trouble.maybe_done:
            text += " More may have arrived without an answer; see: openiap-worker items list."
    to_stderr().print(safe(text), style="red", soft_wrap=True)


def _payloads(text: str | None, source: str | None) -> list[JsonObject]:
    if text is not None and source is not None:
        raise wrong_use("--payload and --from: give one of them.")
    if source is not None:
        return payloads_from(source)
    return [{} if text is None else payload(text, "--payload")]


def _unique(
    key: str | None, unique_for: str | None, update: bool, *, files: bool, many: bool
) -> Unique | None:
    if key is not None and many:
        raise wrong_use("--unique: one item has the key; push one at a time.")
    try:
        return unique_of(key, unique_for, update, files=files)
    except ValueError as error:
        raise wrong_use(f"--unique: {error}.") from None


def _files(given: list[Path]) -> tuple[Path, ...]:
    for path in given:
        if not path.is_file():
            raise wrong_use(f"--file {path}: no such file.")
    names = [path.name for path in given]
    for name in names:
        if names.count(name) > 1:
            raise wrong_use(f"--file: two files are named {name}; an item holds a name once.")
    return tuple(given)


def _progress(total: int) -> Progress:
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
