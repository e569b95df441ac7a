"""``queues``: list, show, create, update; what else changes queues is in ``changes.py``."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from worker.cli.queues.changes import delete, pause, purge, resume
from worker.cli.queues.shown import COLUMNS, Name, note, pause_text, row, shown, with_queues
from worker.cli.shared.complete import queue_names
from worker.cli.shared.errors import usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import AsJson, Options, Utc
from worker.cli.shared.output import (
    many,
    print_json,
    print_result,
    safe,
    show_facts,
    show_noted,
    to_stderr,
    to_stdout,
)
from worker.durations import text as duration_text
from worker.management.queues.types import (
    QueueCreatePayload,
    QueueGetPayload,
    QueueResponse,
    QueuesGetListPayload,
    QueueUpdatePayload,
)

app = typer.Typer(help="Look at, pause and administer work item queues.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """What is set of a queue: options as they were given."""

    max_retries: Annotated[
        int | None,
        typer.Option(
            "--max-retries",
            min=1,
            help="Attempts in all, the first one included: the queue's maxretries.",
        ),
    ] = None
    retry_delay: Annotated[
        int | None, typer.Option("--retry-delay", min=0, help="Seconds before the next attempt.")
    ] = None
    initial_delay: Annotated[
        int | None, typer.Option("--initial-delay", min=0, help="Seconds before the first attempt.")
    ] = None
    amqp_queue: Annotated[
        str | None,
        typer.Option(
            "--amqp-queue", metavar="NAME", help="Message queue that tells of waiting items."
        ),
    ] = None
    success_queue: Annotated[
        str | None,
        typer.Option(
            "--success-queue",
            metavar="NAME",
            help="Where successful items go on to.",
            autocompletion=queue_names,
        ),
    ] = None
    failed_queue: Annotated[
        str | None,
        typer.Option(
            "--failed-queue",
            metavar="NAME",
            help="Where failed items go on to.",
            autocompletion=queue_names,
        ),
    ] = None
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            metavar="NAME",
            help="A role or user who may work the queue (read, update, invoke); repeatable.",
        ),
    ] = None

    def fields(self) -> dict[str, Any]:
        """Return them as the fields of what the service is asked for."""
        given = asdict(self)
        roles = given.pop("role")
        return {**given, "workers": roles or []}


@app.command("list")
@grouped
def list_queues(
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """List the queues with what waits in them, and which are paused."""

    found = with_queues(given, lambda queues: queues.get_list(QueuesGetListPayload()))
    if as_json:
        print_json([queue.model_dump() for queue in found])
        return
    if not found:
        to_stdout().print("No queues. To create one: openiap-worker queues create NAME")
        return
    rows, notes = [row(queue) for queue in found], [note(queue, utc=utc) for queue in found]
    show_noted(to_stdout(), COLUMNS, rows, notes)


@app.command("show")
@grouped
def show_queue(
    name: Name,
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Show one queue: what waits and runs, who works it, what fails, and what is unwise."""

    queue = with_queues(given, lambda queues: queues.get_one(QueueGetPayload(name=name)))
    if as_json:
        print_json(queue.model_dump())
        return
    items = queue.items.model_dump() if queue.items else {}
    facts: list[tuple[str, object]] = [
        ("queue", queue.name),
        ("popped", pause_text(queue, utc=utc) if queue.paused else "yes"),
        ("items", ", ".join(f"{count:,} {state}" for state, count in items.items())),
        ("due", f"{queue.due:,}{_since(queue.oldest_waiting, 'the oldest for')}"),
        ("running", f"{items.get('processing', 0):,}{_since(queue.oldest_processing, 'one for')}"),
        ("items/s", f"{queue.items_per_second:.3g} in the last minute"),
        ("workers", f"{many(queue.workers or 0, 'worker')}, {many(queue.slots or 0, 'slot')}"),
        ("attempts", f"{queue.max_retries}, {queue.retry_delay} s between two"),
        ("then", note(queue.model_copy(update={"paused": None})).removeprefix("then ")),
    ]
    if queue.last_hour is not None:
        hour = queue.last_hour
        facts.append(
            (
                "last hour",
                f"{many(hour.successful + hour.failed, 'item')};"
                f" waited {_seconds(hour.wait_median)}, 95 %: {_seconds(hour.wait_95)};"
                f" ran {_seconds(hour.run_median)}, 95 %: {_seconds(hour.run_95)}",
            )
        )
    facts += [("fails", f"{group.count:,} x {group.message}") for group in queue.errors]
    show_facts(to_stdout(), [fact for fact in facts if fact[1]])
    _advise(queue)


@app.command("create")
@grouped
def create(
    name: Name,
    queue: QueueOptions,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Create a queue; 3 attempts without delay unless told otherwise."""
    if not name.strip():
        raise usage_error("A queue needs a name.")
    asked = QueueCreatePayload(name=name, **queue.fields())

    made = with_queues(given, lambda queues: queues.create_one(asked))
    text = f"Created queue {name}."
    if not queue.role:
        text += (
            " You and the administrators may work it; for others:"
            f" openiap-worker queues update {name} --role NAME"
        )
    print_result(shown(made), text, as_json=as_json)
    _advise(made)


@app.command("update")
@grouped
def update(
    name: Name,
    queue: QueueOptions,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Change a queue; what is not given stays. An empty name takes a chained queue away."""
    asked = QueueUpdatePayload(name=name, **queue.fields())
    if asked.is_empty:
        raise usage_error(
            "Nothing to change: give at least one option, for example --max-retries 5."
        )

    changed = with_queues(given, lambda queues: queues.update_one(asked))
    said = f"Changed queue {name}."
    if asked.workers:  # server.md, Rights: an item has those of its queue when it was pushed
        said += " Items that wait in it keep their rights: who was given some sees new ones alone."
    print_result(shown(changed), said, as_json=as_json)
    _advise(changed)


app.command("purge")(purge)
app.command("delete")(delete)
app.command("pause")(pause)
app.command("resume")(resume)


def _advise(queue: QueueResponse) -> None:
    """Say what is unwise about a queue; to stderr, since it is no result."""
    for advice in queue.advice:
        to_stderr().print(safe(advice), style="yellow", soft_wrap=True)


def _since(seconds: float | None, what: str) -> str:
    return "" if seconds is None else f", {what} {duration_text(round(seconds))}"


def _seconds(value: Any) -> str:
    return "?" if value is None else f"{value:.3g} s"
