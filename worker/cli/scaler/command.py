"""``scaler``: answers autoscalers for queues that somebody else works."""

from typing import Annotated, Final

import typer

from worker._version import __version__
from worker.cli.shared.client import refused, run_async
from worker.cli.shared.errors import CommandError, usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import AllOptions, settings_of
from worker.openiap.errors import AccessDenied

PORT: Final = 8080
GRPC_PORT: Final = 8090


@grouped
def scaler(
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue", metavar="NAME", help="Answer for this queue; may be given several times."
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Answer for every queue that this user may see.", show_default=False
        ),
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Where to listen. Default: the setting health_host, 127.0.0.1.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            metavar="PORT",
            help="For /scale, /livez, /readyz and /metrics; 0 takes a free one. Default: the"
            f" setting health_port, else {PORT}.",
        ),
    ] = None,
    grpc_port: Annotated[
        int,
        typer.Option(
            "--grpc-port",
            min=0,
            max=65535,
            metavar="PORT",
            help="For KEDA's external scaler; 0 takes a free one.",
        ),
    ] = GRPC_PORT,
    *,
    given: AllOptions,
) -> None:
    """Tell autoscalers how many workers queues need, and work none: from zero and back to it.

    KEDA asks by gRPC (trigger type external), everybody else GET /scale?queue=NAME&target=SECONDS.
    """
    # Here and not above: gRPC and the engine take longer to import than other commands to run.
    from worker.cli.scaler.scaler import Scaler

    if bool(queue) == every:
        raise usage_error("Give --queue NAME, once for each queue, or --all.")
    loaded = settings_of(given, health_host=host, health_port=port)
    chosen = loaded.settings
    if chosen.health_port is None:
        chosen = chosen.model_copy(update={"health_port": PORT})

    async def answer() -> None:
        scaling = Scaler(
            chosen,
            tuple(queue or ()),
            grpc_port=grpc_port,
            version=__version__,
            environment=loaded.environment,
        )
        await scaling.run()

    try:
        run_async(answer(), busy=True)
    except AccessDenied as error:
        raise CommandError(refused(chosen, error.text)) from error
