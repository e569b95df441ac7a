"""``server``: the local OpenIAP server."""

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.shared.client import run_async
from worker.cli.shared.errors import CommandError, usage_error
from worker.cli.shared.output import print_json, safe, show_facts, to_stderr, to_stdout
from worker.cli.shared.paths import shown

if TYPE_CHECKING:
    from worker.localserver import LocalServer, ServerOptions


DAY = 86_400.0


def server(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; beyond this machine needs --user.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Websockets and HTTP; 0: a free one.")
    ] = 3000,
    grpc_port: Annotated[
        int, typer.Option("--grpc-port", min=0, max=65535, help="gRPC; 0: a free one.")
    ] = 50051,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FILE", help="Keep everything in this file; default: in memory."
        ),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(
            "--user",
            metavar="NAME:PASSWORD",
            help="An administrator; several times, or @FILE with one a line, which others on this"
            " machine cannot see. Only who is named may sign in. Default: a random one.",
        ),
    ] = None,
    plain_user: Annotated[
        list[str] | None,
        typer.Option(
            "--plain-user",
            metavar="NAME:PASSWORD",
            help="A user with the rights alone that queues and documents give; several times.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict/--no-strict",
            help="Be no kinder than OpenIAP. Without: watches take $.[?(…)], chain targets and"
            " whole-second times count over the protocol, a change of a queue keeps what it does"
            " not say, and counting takes no query.",
        ),
    ] = True,
    pop_contention: Annotated[
        bool,
        typer.Option(
            "--pop-contention", help="Pops at once on one queue disturb each other as on OpenIAP."
        ),
    ] = False,
    rate_limit: Annotated[
        int,
        typer.Option(
            "--rate-limit", min=0, help="Messages per second and connection; OpenIAP: 30, 0: off."
        ),
    ] = 0,
    wakeup_interval: Annotated[
        float,
        typer.Option(
            "--wakeup-interval",
            min=0.1,
            max=DAY,
            help="Seconds between rounds of wake-up messages.",
        ),
    ] = 10.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print addresses as JSON once it listens.")
    ] = False,
) -> None:
    """Run a local OpenIAP server: for development, tests and a single machine.

    It speaks the real protocol, so what works on it works on OpenIAP. Ctrl-C stops it; with --data
    nothing that was answered is lost.
    """
    # Here and not above: gRPC, FastAPI and mongomock are for this command alone.
    from worker.localserver import ServerOptions, ServerStartError, serve
    from worker.localserver.serve import addresses, parse_users
    from worker.web_server import is_loopback

    try:
        users = parse_users(user or [])
    except ValueError as error:
        raise usage_error(f"--user {error}, for example --user me:secret.") from error
    try:
        plain_users = parse_users(plain_user or [])
    except ValueError as error:
        raise usage_error(f"--plain-user {error}, for example --plain-user me:secret.") from error
    if both := sorted(users.keys() & plain_users.keys()):
        raise usage_error(f"--user and --plain-user both name {both[0]}: take one of them.")
    if not users and not is_loopback(host):
        raise usage_error(
            f"--host {host} can be reached from other machines: say who may sign in, with"
            " --user NAME:PASSWORD."
        )
    if data is not None and os.path.isdir(data):
        raise usage_error(f"--data {shown(data)} is a folder; allowed: a file.")
    log = to_stderr()
    options = ServerOptions(
        host=host,
        port=port,
        grpc_port=grpc_port,
        data=data,
        users=users,
        plain_users=plain_users,
        strict=strict,
        pop_contention=pop_contention,
        rate_limit=rate_limit,
        wakeup_interval=wakeup_interval,
        log=lambda line: log.print(safe(line), style="dim", soft_wrap=True),
    )

    def ready(running: "LocalServer") -> None:
        if as_json:
            print_json(addresses(running, options), on_one_line=True)
        else:
            _announce(running, options)

    try:
        run_async(serve(options, on_ready=ready), busy=True)
    except ServerStartError as error:
        raise CommandError(f"{error}. Choose others with --port and --grpc-port.") from error
    except (OSError, sqlite3.Error) as error:
        said = error.strerror if isinstance(error, OSError) else ""
        raise CommandError(f"--data {data}: {said or error}.") from error


def _announce(running: "LocalServer", options: "ServerOptions") -> None:
    console = to_stdout()
    console.print("[bold]OpenIAP local server[/bold] for development, tests and one machine")
    data, made_up = options.data, not options.users
    name, password = running.credentials
    rows = [("websockets", running.ws_url), ("gRPC", running.grpc_url)]
    rows.append(("data", str(data) if data else "in memory, gone when it stops"))
    if len(options.users) > 1:
        rows.append(("users", ", ".join(options.users)))
    else:
        rows.append(("user", name))
    if options.plain_users:
        rows.append(("plain users", ", ".join(options.plain_users)))
    if made_up and data is not None:
        rows.append(("password", f"in {data}.user (NAME:PASSWORD)"))
    elif made_up:
        # Made up a moment ago for this run and kept nowhere: here or nobody could sign in.
        rows.append(("password", f"{password}  (until it stops; choose with --user)"))
    show_facts(console, rows)
    console.print("Ctrl-C stops it.", style="dim")
