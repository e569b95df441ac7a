"""``queues``: list, create, update, purge, delete."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from worker.cli.shared.client import with_client
from worker.cli.shared.complete import queue_names
from worker.cli.shared.errors import usage_error
from worker.cli.shared.options import (
    AsJson,
    ClientName,
    Options,
    SettingsFile,
    Url,
    Yes,
    settings_of,
)
from worker.cli.shared.output import (
    confirm,
    many,
    print_json,
    print_result,
    show_noted,
    to_stderr,
    to_stdout,
)
from worker.cli.shared.queue_admin import QueueAdministration, QueueChange
from worker.openiap.workitem import JsonObject

T = TypeVar("T")

app = typer.Typer(help="Look at and administer work item queues.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(help="The queue's name.", show_default=False, autocompletion=queue_names)
]
MaxRetries = Annotated[
    int | None,
    typer.Option(
        "--max-retries",
        min=1,
        help="Attempts in all, the first one included: the queue's maxretries.",
    ),
]
RetryDelay = Annotated[
    int | None, typer.Option("--retry-delay", min=0, help="Seconds before the next attempt.")
]
InitialDelay = Annotated[
    int | None, typer.Option("--initial-delay", min=0, help="Seconds before the first attempt.")
]
AmqpQueue = Annotated[
    str | None,
    typer.Option("--amqp-queue", metavar="NAME", help="Message queue that tells of waiting items."),
]
SuccessQueue = Annotated[
    str | None,
    typer.Option(
        "--success-queue",
        metavar="NAME",
        help="Where successful items go on to.",
        autocompletion=queue_names,
    ),
]
FailedQueue = Annotated[
    str | None,
    typer.Option(
        "--failed-queue",
        metavar="NAME",
        help="Where failed items go on to.",
        autocompletion=queue_names,
    ),
]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        metavar="NAME",
        help="A role or user who may work the queue (read, update, invoke); repeatable.",
    ),
]
FIELDS: Final = {
    "name": "name",
    "_id": "id",
    "maxretries": "max_retries",
    "retrydelay": "retry_delay",
    "initialdelay": "initial_delay",
    "amqpqueue": "amqp_queue",
    "success_wiq": "success_queue",
    "failed_wiq": "failed_queue",
}


@app.command("list")
def list_queues(
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
) -> None:
    """List the queues with what waits in them."""

    async def work(queues: QueueAdministration) -> list[JsonObject]:
        found = []
        for document in await queues.all():
            found.append({**_shown(document), "items": await queues.counts(document["name"])})
        return found

    found = _with_queues(Options(url, settings, client), work)
    if as_json:
        print_json(found)
        return
    if not found:
        to_stdout().print("No queues. To create one: openiap-worker queues create NAME")
        return
    columns = {"queue": "whole", "new": "number", "running": "number", "successful": "number"}
    columns |= {"failed": "number", "attempts": "number", "delay": "number"}
    show_noted(to_stdout(), columns, [_row(queue) for queue in found], [_then(q) for q in found])


@app.command("create")
def create(
    name: Name,
    max_retries: MaxRetries = None,
    retry_delay: RetryDelay = None,
    initial_delay: InitialDelay = None,
    amqp_queue: AmqpQueue = None,
    success_queue: SuccessQueue = None,
    failed_queue: FailedQueue = None,
    role: Roles = None,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
) -> None:
    """Create a queue; 3 attempts without delay unless told otherwise."""
    if not name.strip():
        raise usage_error("A queue needs a name.")
    change = QueueChange(
        *(max_retries, retry_delay, initial_delay, amqp_queue, success_queue, failed_queue),
        workers=tuple(role or ()),
    )
    made = _with_queues(Options(url, settings, client), lambda queues: queues.create(name, change))
    text = f"Created queue {name}."
    if not role:
        text += (
            " You and the administrators may work it; for others:"
            f" openiap-worker queues update {name} --role NAME"
        )
    print_result(_shown(made), text, as_json=as_json)


@app.command("update")
def update(
    name: Name,
    max_retries: MaxRetries = None,
    retry_delay: RetryDelay = None,
    initial_delay: InitialDelay = None,
    amqp_queue: AmqpQueue = None,
    success_queue: SuccessQueue = None,
    failed_queue: FailedQueue = None,
    role: Roles = None,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
) -> None:
    """Change a queue; what is not given stays. An empty name takes a chained queue away."""
    change = QueueChange(
        *(max_retries, retry_delay, initial_delay, amqp_queue, success_queue, failed_queue),
        workers=tuple(role or ()),
    )
    if change == QueueChange():
        raise usage_error(
            "Nothing to change: give at least one option, for example --max-retries 5."
        )
    changed = _with_queues(
        Options(url, settings, client), lambda queues: queues.update(name, change)
    )
    said = f"Changed queue {name}."
    if change.workers:  # server.md, Rights: an item has those of its queue when it was pushed
        said += " Items that wait in it keep their rights: who was given some sees new ones alone."
    print_result(_shown(changed), said, as_json=as_json)


@app.command("purge")
def purge(
    name: Name,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
) -> None:
    """Delete all items of a queue, in whatever state, with their files."""

    async def work(queues: QueueAdministration) -> int:
        await _ask(queues, name, lambda held: f"Delete {held} of queue {name}?", yes=yes)
        with _counting(f"deleting items of {name}") as advance:
            return await queues.purge(name, advance=advance)

    gone = _with_queues(Options(url, settings, client), work)
    text = f"Deleted {many(gone, 'item')} of queue {name}."
    print_result({"queue": name, "deleted": gone}, text, as_json=as_json)


@app.command("delete")
def delete(
    name: Name,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = None,
    settings: SettingsFile = None,
    client: ClientName = None,
) -> None:
    """Delete a queue and all its items."""

    async def work(queues: QueueAdministration) -> None:
        await _ask(queues, name, lambda held: f"Delete queue {name} with {held}?", yes=yes)
        with _counting(f"deleting items of {name}") as advance:
            await queues.delete(name, advance=advance)

    _with_queues(Options(url, settings, client), work)
    text = f"Deleted queue {name}."
    print_result({"queue": name, "deleted": True}, text, as_json=as_json)


def _with_queues(given: Options, work: Callable[[QueueAdministration], Awaitable[T]]) -> T:
    return with_client(settings_of(given).settings, lambda one: work(QueueAdministration(one)))


async def _ask(
    queues: QueueAdministration, name: str, question: Callable[[str], str], *, yes: bool
) -> None:
    await queues.find(name)
    held = sum((await queues.counts(name)).values())
    confirm(question(many(held, "item")), yes=yes)


@contextmanager
def _counting(what: str) -> Iterator[Callable[[int], None]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
    counter = TextColumn("{task.completed:.0f}")
    console = to_stderr()
    with Progress(
        *columns, counter, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda number: bar.advance(task, number)


def _shown(document: JsonObject) -> JsonObject:
    return {theirs: document.get(ours) for ours, theirs in FIELDS.items()}


def _row(queue: JsonObject) -> tuple[Any, ...]:
    items = queue["items"]
    return (
        queue["name"],
        items["new"],
        items["processing"],
        items["successful"],
        items["failed"],
        queue["max_retries"],
        f"{queue['retry_delay'] or 0} s",
    )


def _then(queue: JsonObject) -> str:
    """Return where a queue's items go on to."""
    ways = (("successful ones", "success_queue"), ("failed ones", "failed_queue"))
    then = [f"{which} to {queue[key]}" for which, key in ways if queue[key]]
    return f"then {', '.join(then)}" if then else ""
