"""``workers``: list, show, quiet, resume, stop, set, stacks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import typer

from worker.cli.shared.asking import confirm
from worker.cli.shared.client import with_client
from worker.cli.shared.complete import queue_names
from worker.cli.shared.errors import FAILED, usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import AsJson, Options, Utc, Yes, settings_of
from worker.cli.shared.output import (
    many,
    print_json,
    safe,
    to_stderr,
    to_stdout,
)
from worker.cli.workers.shown import show_all_items, show_worker, show_workers
from worker.durations import seconds
from worker.management.workers.service import Workers
from worker.management.workers.types import (
    Action,
    WorkerFilter,
    WorkerGetPayload,
    WorkerResponse,
    WorkersGetListPayload,
    WorkersSteerBatchPayload,
)
from worker.settings import Settings

app = typer.Typer(help="Look at workers that run, and steer them.", no_args_is_help=True)

T = TypeVar("T")

WITHIN: Final = "30s"

Queue = Annotated[
    str | None,
    typer.Option("--queue", metavar="NAME", help="Those of a queue.", autocompletion=queue_names),
]
Within = Annotated[
    str,
    typer.Option(
        "--within", metavar="TIME", help="What no worker has seen by then is not done any more."
    ),
]


@dataclass(frozen=True, slots=True)
class Which:
    """Which workers are meant; there is no default for what changes them."""

    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...", help="The workers' ids; or --all, --queue.", show_default=False
        ),
    ] = None
    all_of_them: Annotated[bool, typer.Option("--all", help="All workers that this user sees.")] = (
        False
    )
    queue: Queue = None

    def filter(self) -> WorkerFilter:
        """Return the filter.

        Raises:
            CommandError: none is named, or too much is.
        """
        if self.all_of_them and (self.ids or self.queue is not None):
            raise usage_error("--all: no ids and no --queue beside it.")
        if not self.ids and not self.all_of_them and self.queue is None:
            raise usage_error("Which workers? Give their ids, --queue NAME or --all.")
        ids = list(self.ids or [])
        return WorkerFilter.model_construct(ids=ids, queue=self.queue, states=[], trouble=None)


@app.command("list")
@grouped
def list_workers(
    queue: Queue = None,
    trouble: Annotated[bool, typer.Option("--trouble", help="Those with trouble.")] = False,
    gone: Annotated[
        bool, typer.Option("--gone", help="Also those that ended within the last hour.")
    ] = False,
    items: Annotated[
        bool, typer.Option("--items", help="The items in flight instead, those of all workers.")
    ] = False,
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """List workers: what each works, how much, and what is amiss."""
    chosen = settings_of(given).settings
    filter = WorkerFilter(
        queue=queue,
        states=[] if gone else ["working", "quiet", "dead"],
        trouble=True if trouble else None,
    )
    asked = WorkersGetListPayload(filter=filter)
    found = _with_workers(chosen, lambda workers: workers.get_list(asked))
    if items:
        show_all_items(found, as_json=as_json)
    elif as_json:
        listed = set(WorkerResponse.model_fields)
        print_json([one.model_dump(mode="json", include=listed) for one in found])
    elif not found:
        to_stdout().print("No workers.")
    else:
        show_workers(found, utc=utc)


@app.command("show")
@grouped
def show_one(
    id: Annotated[str, typer.Argument(help="The worker's id.", show_default=False)],
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Show one worker: what it does now, its last hour, and what it was told."""
    asked = WorkerGetPayload.model_construct(id=id)
    found = _with_workers(settings_of(given).settings, lambda workers: workers.get_one(asked))
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        show_worker(found, utc=utc)


@app.command("quiet")
@grouped
def quiet(
    which: Which,
    within: Within = WITHIN,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Have workers take no more items; those in flight go on, and so does all else."""
    _steer(settings_of(given).settings, "quiet", which.filter(), within, as_json=as_json)


@app.command("resume")
@grouped
def resume(
    which: Which,
    within: Within = WITHIN,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Have workers that are quiet take items again."""
    _steer(settings_of(given).settings, "resume", which.filter(), within, as_json=as_json)


@app.command("stop")
@grouped
def stop(
    which: Which,
    within: Within = WITHIN,
    yes: Yes = False,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Have workers finish what they have and end, as with a signal; what runs them may start them
    again."""
    chosen, wanted = settings_of(given).settings, which.filter()
    confirm(f"Stop {_named(wanted)}?", yes=yes)
    _steer(chosen, "stop", wanted, within, as_json=as_json)


@app.command("set")
@grouped
def set_value(
    which: Which,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", min=1, help="Items of --queue at once, in each worker."),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", metavar="LEVEL", help="error, warn, info, …")
    ] = None,
    within: Within = WITHIN,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Change a setting of workers until they end: concurrency of a queue, or the log level."""
    if (concurrency is None) == (log_level is None):
        raise usage_error("Give --concurrency N or --log-level LEVEL, one of them.")
    if concurrency is not None and which.queue is None:
        raise usage_error("--concurrency: it needs --queue NAME.")
    chosen, wanted = settings_of(given).settings, which.filter()
    if concurrency is not None:
        more = {"queue": which.queue, "value": concurrency}
        _steer(chosen, "concurrency", wanted, within, as_json=as_json, **more)
    else:
        _steer(chosen, "log_level", wanted, within, as_json=as_json, value=log_level)


@app.command("stacks")
@grouped
def stacks(
    which: Which,
    within: Within = WITHIN,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Show where the handlers are that run now, by item."""
    _steer(settings_of(given).settings, "stacks", which.filter(), within, as_json=as_json)


def _with_workers(settings: Settings, work: Callable[[Workers], Awaitable[T]]) -> T:
    """Do a command's work with a signed-in client."""
    return with_client(
        settings,
        lambda signed: work(
            Workers(signed, dead_after=settings.dead_after, namespace=settings.namespace)
        ),
    )


def _named(which: WorkerFilter) -> str:
    if which.ids:
        return many(len(which.ids), "worker")
    return "all workers" if which.queue is None else f"all workers of queue {which.queue}"


def _steer(
    chosen: Settings,
    action: Action,
    which: WorkerFilter,
    within: str,
    *,
    as_json: bool,
    **more: Any,
) -> None:
    asked = WorkersSteerBatchPayload(action=action, filter=which, within=_seconds(within), **more)
    answered = _with_workers(chosen, lambda workers: workers.steer_batch(asked))
    if as_json:
        print_json(answered.model_dump(mode="json"))
    else:
        for one in answered.workers:
            to_stdout().print(safe(f"{one.worker}: {'' if one.done else 'not done: '}{one.text}"))
    if answered.failed:
        to_stderr().print(f"{answered.failed} of {many(len(answered.workers), 'worker')} did not.")
        raise typer.Exit(FAILED)


def _seconds(given: str) -> float:
    try:
        found = seconds(given)
    except ValueError as error:
        raise usage_error(f"--within {given}: {error}.") from error
    if not 1 <= found <= 3_600:
        raise usage_error(f"--within {given}: allowed: 1s to 1h.")
    return found
