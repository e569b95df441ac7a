"""``package``: build, publish, list, delete and try out packages for OpenIAP's agents."""

import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from worker._version import __version__
from worker.cli.package.archive import MAX_BYTES
from worker.cli.package.build import Built, build, read_package, write
from worker.cli.package.catalog import chosen, delete, packages, told
from worker.cli.package.project import BuildOptions
from worker.cli.package.publish import Published, existing, publish
from worker.cli.package.requirements import DISTRIBUTION
from worker.cli.package.run import Ended, run
from worker.cli.package.view import show_built
from worker.cli.package.wheel import installed_wheel, own_wheel, save
from worker.cli.shared.asking import confirm
from worker.cli.shared.client import refused, run_async, signed_in, with_client
from worker.cli.shared.complete import handler_modules
from worker.cli.shared.errors import CommandError, usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.item_view import moment
from worker.cli.shared.options import AsJson, Utc, WithoutClient, Yes, settings_of
from worker.cli.shared.output import (
    print_json,
    safe,
    show_noted,
    to_stderr,
    to_stdout,
)
from worker.item.masking import masked
from worker.openiap.errors import AccessDenied
from worker.openiap.factory import make_client
from worker.openiap.fields import text_of
from worker.settings import Settings

MEGABYTE = 1024 * 1024

app = typer.Typer(
    help="Packages for OpenIAP's agents: build, publish, list, delete, try out.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A package: NAME-VERSION.tgz.")]


@app.command("build")
def build_command(
    project: Annotated[
        Path, typer.Argument(metavar="[PROJECT]", help="The project's folder.", show_default=False)
    ] = Path(),
    name: Annotated[
        str, typer.Option("--name", help="Instead of package.json's or pyproject.toml's.")
    ] = "",
    version: Annotated[
        str, typer.Option("--version", help="Instead of package.json's or pyproject.toml's.")
    ] = "",
    handlers: Annotated[
        list[str] | None,
        typer.Option(
            "--handlers",
            metavar="MODULE",
            help="Instead of config/worker.toml's handlers.",
            autocompletion=handler_modules,
        ),
    ] = None,
    wheel: Annotated[
        Path | None,
        typer.Option(
            "--wheel",
            metavar="FILE",
            help="Ship this wheel of openiap-worker. Default: its own where it is installed from a"
            " clone, else its version, from a registry.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Default: PROJECT/dist.")
    ] = None,
    max_size: Annotated[
        int, typer.Option("--max-size", metavar="MIB", min=1, help="Refuse more, unpacked.")
    ] = MAX_BYTES // MEGABYTE,
    as_json: AsJson = False,
) -> None:
    """Make dist/NAME-VERSION.tgz of a project. The same project gives the same bytes."""
    said = []
    with TemporaryDirectory(prefix="openiap-worker-wheel-") as folder:
        if wheel is None and (own := own_wheel()) is not None:
            wheel = save(own, Path(folder))
            said.append(own.told)
        options = BuildOptions(name, version, tuple(handlers or ()), wheel)
        built = build(project, options, max_bytes=max_size * MEGABYTE)
    path = write(built, out or project / "dist")
    show_built(built, path, (*said, *built.notes), as_json=as_json)


@app.command("wheel")
def wheel_command(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where it is put.")] = Path(
        "dist"
    ),
) -> None:
    """Make the wheel of openiap-worker itself, as it is installed here; no registry is asked."""
    made = installed_wheel(DISTRIBUTION)
    if made is None:
        raise CommandError(f"{DISTRIBUTION} is not installed here as a distribution.")
    to_stdout().print(safe(save(made, out)), soft_wrap=True)


@app.command("publish")
@grouped
def publish_command(
    file: File,
    yes: Yes = False,
    *,
    given: WithoutClient,
) -> None:
    """Upload a package and insert or update its document in the collection agents."""
    built = read_package(file)
    loaded = settings_of(given)
    published = run_async(_publish(loaded.settings, built, yes))
    if published is None:
        raise CommandError("Nothing was published.")
    console = to_stdout()
    manifest = built.manifest
    if not published.changed:
        console.print(safe(f"{manifest.name} {manifest.version} is published already."))
        return
    if published.warning:
        to_stderr().print(safe(published.warning), style="yellow", soft_wrap=True)
    console.print(safe(f"{manifest.name} {manifest.version} is published: {published.fileid}"))


async def _publish(settings: Settings, built: Built, yes: bool) -> Published | None:
    """Show what is replaced, ask, and publish; None when the answer was no."""
    async with signed_in(settings) as client:
        before = await existing(client, built.manifest.name)
        old = before.document
        same = before.sha256 == built.sha256
        if old and not same:
            text = (
                f"{built.manifest.name} {old.get('version')} (file {old.get('fileid')}, changed"
                f" {old.get('_modified')} by {old.get('_modifiedby')}) is replaced by"
                f" {built.manifest.version}. The former archive stays stored."
            )
            to_stderr().print(safe(text), soft_wrap=True)
            ask = not yes and sys.stdin.isatty()
            if ask and not await asyncio.to_thread(typer.confirm, "Publish?", err=True):
                return None
        return await publish(client, built, before)


@app.command("list")
@grouped
def list_command(
    utc: Utc = False,
    as_json: AsJson = False,
    *,
    given: WithoutClient,
) -> None:
    """Show the packages that you may see, and which names stand for several."""
    loaded = settings_of(given)
    found = with_client(loaded.settings, packages)
    if as_json:
        print_json(found)
        return
    if not found:
        to_stdout().print("No packages.")
        return
    counted = Counter(text_of(one.get("id")) for one in found)
    rows = [
        [
            text_of(one.get("id")),
            text_of(one.get("version")),
            text_of(one.get("_createdby")),
            moment(one.get("_modified"), utc=utc),
            text_of(one.get("_id")),
        ]
        for one in found
    ]
    notes = [f"{counted[row[0]]} of this name" if counted[row[0]] > 1 else "" for row in rows]
    columns = dict.fromkeys(("name", "version", "made by", "changed", "document"), "whole")
    show_noted(to_stdout(), columns, rows, notes)


@app.command("delete")
@grouped
def delete_command(
    package: Annotated[
        str, typer.Argument(metavar="NAME|DOCUMENT", help="A name, or a document's id.")
    ],
    yes: Yes = False,
    *,
    given: WithoutClient,
) -> None:
    """Delete a published package and its archive."""
    loaded = settings_of(given)

    async def work() -> str:
        async with signed_in(loaded.settings) as client:
            document = chosen(await packages(client), package)
            if not yes:
                await asyncio.to_thread(confirm, f"Delete {told(document)}?", yes=yes)
            await delete(client, document)
            return told(document)

    to_stdout().print(safe(f"Deleted: {run_async(work())}"), soft_wrap=True)


@app.command("run")
@grouped
def run_command(
    file: File,
    variable: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            metavar="NAME=VALUE",
            help="The schedule's environment, for example wiq=invoices; several times.",
        ),
    ] = None,
    stop_after: Annotated[
        float | None,
        typer.Option(
            "--stop-after",
            metavar="SECONDS",
            min=0,
            max=86_400,
            help="Stop it as an agent does, so long after its start.",
        ),
    ] = None,
    python: Annotated[
        str,
        typer.Option(
            "--python",
            metavar="FILE",
            help="Make the fresh interpreter from it. Default: this one.",
            show_default=False,
        ),
    ] = sys.executable,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="FOLDER", help="Keep the fresh interpreter there for the next start."
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="Install from what is installed here, and ask no registry. An agent cannot.",
        ),
    ] = False,
    *,
    given: WithoutClient,
) -> None:
    """Do with a package what an agent does; Ctrl-C stops it the way an agent stops it."""
    built = read_package(file)
    schedule = _variables(variable or [])
    chosen = settings_of(replace(given, client="native")).settings
    console = to_stdout()
    notes = to_stderr()

    def say(line: str) -> None:
        console.print(safe(line), soft_wrap=True)

    ended = run_async(_run(chosen, built, schedule, say, stop_after, python, keep, offline))
    notes.print(safe(_told(ended)), style="dim", soft_wrap=True)
    if ended.code:
        raise typer.Exit(ended.code if ended.code > 0 else 128 - ended.code)


async def _run(
    settings: Settings,
    built: Built,
    schedule: dict[str, str],
    say: Callable[[str], None],
    stop_after: float | None,
    python: str,
    keep: Path | None,
    offline: bool,
) -> Ended:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends this and the package
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
    say(f"{built.manifest.name} {built.manifest.version}, as an agent runs it")
    if "apiurl" not in schedule:
        say(f"signing in to {masked(settings.url)} for the token that it is given")
        schedule = {"apiurl": settings.url, "jwt": await _token(settings), **schedule}
    return await run(
        built,
        schedule,
        stop=stop,
        say=say,
        python=python,
        keep=keep,
        offline=offline,
        stop_after=stop_after,
    )


async def _token(settings: Settings) -> str:
    """Return a token as agents hold one: valid for long.

    Raises:
        CommandError: the credentials are refused.
    """
    if not settings.username:
        make_client(settings, __version__)  # refuses settings without URL or credentials
        return settings.jwt.get_secret_value()
    async with signed_in(settings) as client:
        try:
            token, _ = await client.signin(
                settings.username, settings.password.get_secret_value(), longtoken=True
            )
        except AccessDenied as error:
            raise CommandError(refused(settings, error.text)) from error
    return token


def _variables(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for assignment in given:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise usage_error(f"--env {assignment}: give it as NAME=VALUE.")
        found[name] = value
    return found


def _told(ended: Ended) -> str:
    how = f"ended with exit code {ended.code}"
    if ended.code < 0:
        how = f"was ended by {signal.Signals(-ended.code).name}"
    stopping = (
        f", {ended.stop_seconds:.1f} s after it was told to stop" if ended.stop_seconds else ""
    )
    output = f"it printed {ended.printed:,} bytes, which an agent holds in memory"
    return f"The package {how}{stopping}; {output}."
