"""``push``: items into a queue, one or a file full of them."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from worker.cli.shared.asking import bar
from worker.cli.shared.client import with_client
from worker.cli.shared.complete import queue_names
from worker.cli.shared.errors import FAILED, explain, no_queue, usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import AsJson, Options, settings_of
from worker.cli.shared.output import many, print_json, safe, to_stderr, to_stdout
from worker.cli.shared.paths import shown
from worker.cli.shared.payloads import UTF_8, moment, payload, payloads_from
from worker.item.headers import headers_of
from worker.item.new_item import Sent
from worker.item.push import ContractError, PushOptions, json_object
from worker.item.unique import HELD_WHILE, HeldWhile
from worker.openiap.client import Client
from worker.openiap.errors import OpenIAPError, QueueNotFound
from worker.openiap.workitem import JsonObject
from worker.producer.producer import Producer, whole
from worker.producer.sender import ClientSender
from worker.settings import is_text

MOST: Final = 1_000_000
"""Items of one command; they are made before the first is pushed."""


@grouped
def push(
    queue: Annotated[
        str,
        typer.Argument(help="The work item queue.", show_default=False, autocompletion=queue_names),
    ],
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
    encoding: Annotated[
        str, typer.Option("--encoding", metavar="NAME", help="Of the text that --from reads.")
    ] = UTF_8,
    delimiter: Annotated[
        str,
        typer.Option(
            "--delimiter",
            metavar="CHARACTER",
            help="Between the fields of a .csv file; tab for tabs. Default: as line 1 shows.",
        ),
    ] = "",
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
    count: Annotated[
        int, typer.Option("--count", min=1, max=MOST, help="Push everything N times.")
    ] = 1,
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
    unique_while: Annotated[
        str | None,
        typer.Option(
            "--unique-while",
            metavar="|".join(HELD_WHILE),
            help="Until when KEY is held: until its item is worked, or until it has ended.",
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="TIME", help="An item that is popped later fails: 1h, from now."
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            metavar="NAME=TEXT",
            help="A header of the items, beside the payload; may be given several times.",
        ),
    ] = None,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Push items to a queue.

    A file is read and checked whole before its first item is pushed.
    """
    payloads = _payloads(payload_text, source, encoding, delimiter)
    if count > 1 and len(payloads) * count > MOST:
        raise usage_error(f"--count {count}: {len(payloads):,} items so often; allowed: {MOST:,}.")
    payloads *= count
    if unique_while is not None and unique_while not in HELD_WHILE:
        raise usage_error(f"--unique-while {unique_while}: allowed: {', '.join(HELD_WHILE)}.")
    if unique is not None and len(payloads) > 1:
        raise usage_error("--unique: one item has the key; push one at a time.")
    options = PushOptions(
        name=name,
        priority=priority,
        at=None if next_run is None else moment(next_run, now=datetime.now(UTC)),
        files=_files(file or []),
        headers=_headers(header or []),
        unique=unique,
        unique_for=unique_for,
        unique_update=unique_update,
        unique_while=cast("HeldWhile | None", unique_while),
        expires=expires,
    )
    try:
        checked = [json_object(payload, f"queue {queue}") for payload in payloads]
    except ContractError as error:
        raise usage_error(str(error)) from None
    try:
        pushes = [options.push(queue, payload) for payload in checked]
    except ValueError as error:
        text = str(error)
        if not text.startswith("push: expires"):
            raise usage_error(f"--unique: {text}.") from None
        said = text.removeprefix("push: ").removeprefix("expires: ")
        raise usage_error(f"--expires: {said}.") from None
    chosen = settings_of(given).settings
    sent: dict[int, Sent] = {}
    """What the server has for certain, by the place of its push; also when the others fail."""

    async def work(signed: Client) -> None:
        with bar(len(pushes)) as shown_bar:
            task = shown_bar.add_task(queue, total=len(pushes))

            def on_sent(first: int, found: Sequence[Sent]) -> None:
                sent.update(enumerate(found, first))
                shown_bar.advance(task, len(found))

            door = ClientSender(signed, chosen.namespace, on_sent=on_sent)
            await Producer(door).send(pushes, whole)

    trouble: OpenIAPError | None = None
    try:
        with_client(chosen, work)
    except OpenIAPError as error:
        trouble = error
    done = [sent[place] for place in sorted(sent)]
    if as_json:
        print_json(_as_data(queue, done, len(pushes), trouble, unique=unique is not None))
    elif trouble is None:
        to_stdout().print(safe(_told(queue, done)))
    if trouble is not None:
        to_stderr().print(
            safe(_refusal(queue, len(done), len(pushes), trouble)), style="red", soft_wrap=True
        )
        raise typer.Exit(FAILED)


def _as_data(
    queue: str, done: Sequence[Sent], total: int, trouble: OpenIAPError | None, *, unique: bool
) -> JsonObject:
    answer: JsonObject = {"queue": queue, "pushed": len(done), "of": total}
    answer["ids"] = [sent.id for sent in done]
    if unique and done:
        answer |= {"pushed": int(not done[0].existing), "existing": done[0].existing}
        answer |= {"updated": done[0].updated}
    return answer if trouble is None else {**answer, "error": trouble.text}


def _told(queue: str, done: Sequence[Sent]) -> str:
    first = done[0]
    if first.existing:
        took = "It took the new values." if first.updated else "Nothing was pushed."
        return f"Item {first.id} of {queue} has that unique key already. {took}"
    which = f" {first.id}" if len(done) == 1 else ""
    return f"Pushed {many(len(done), 'item')}{which} to {queue}."


def _refusal(queue: str, done: int, total: int, trouble: OpenIAPError) -> str:
    text = no_queue(queue) if isinstance(trouble, QueueNotFound) else explain(trouble).text
    if total > 1:
        text += f" {done} of {total} items were pushed."
        if trouble.maybe_done:
            text += " More may have arrived without an answer; see: openiap-worker items list."
    return text


def _payloads(
    text: str | None, source: str | None, encoding: str, delimiter: str
) -> list[JsonObject]:
    if text is not None and source is not None:
        raise usage_error("--payload and --from: give one of them.")
    if source is not None:
        return payloads_from(
            source,
            encoding=encoding,
            delimiter=delimiter,
            say=lambda line: to_stderr().print(safe(line), style="dim", soft_wrap=True),
        )
    return [{} if text is None else payload(text, "--payload")]


def _files(given: list[Path]) -> tuple[Path, ...]:
    for path in given:
        if not os.path.isfile(path):
            raise usage_error(f"--file {shown(path)}: no such file.")
        if "\\" in path.name:
            raise usage_error(
                f"--file {path}: its name has a backslash, which other systems take for a folder's"
                " end: rename it."
            )
        if not is_text(path.name):
            raise usage_error(
                f"--file {str(path)!a}: its name is no UTF-8 text, and OpenIAP keeps names as"
                " text: rename it."
            )
    names = [path.name for path in given]
    for name in names:
        if names.count(name) > 1:
            raise usage_error(f"--file: two files are named {name}; an item holds a name once.")
    return tuple(given)


def _headers(given: list[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise usage_error(f"--header {text}: allowed: NAME=TEXT.")
        if name in found:
            raise usage_error(f"--header: {name} is given twice; an item has a header once.")
        found[name] = value
    try:
        headers_of(found)
    except ValueError as error:
        raise usage_error(f"--header: {str(error).removeprefix('headers: ')}.") from None
    return found or None
