"""``console``: pages in a browser, and the API, in one process."""

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from worker.cli.shared.console import PORT, require_console
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import AllOptions
from worker.cli.shared.output import print_json, show_facts, to_stdout
from worker.cli.shared.serving import Port, Served, ServeOptions, serve_until_stopped

if TYPE_CHECKING:
    from worker.management.api.server import Serving


@grouped
def console(
    port: Port = PORT,
    *,
    how: ServeOptions,
    given: AllOptions,
) -> None:
    """Serve pages to see and steer from a browser, and the API beside them.

    Whoever opens them signs in as a user of OpenIAP, and sees and does what that user may. The
    credentials of the settings are used for nobody.
    """
    require_console()
    # Here and not above: NiceGUI is for this command alone.
    from worker.console.serving import serve_console

    def opened(found: Served, serving: "Serving") -> AbstractAsyncContextManager[str]:
        return serve_console(
            found.settings,
            serving,
            found.log,
            read_only=how.read_only,
            contracts=found.contracts,
            schedules=found.schedules,
            sources=found.loaded.sources,
        )

    def announce(address: str, openiap: str) -> None:
        _announce(address, openiap, as_json=how.as_json, read_only=how.read_only)

    serve_until_stopped(how, port, given, opened, announce)


def _announce(address: str, openiap: str, *, as_json: bool, read_only: bool) -> None:
    if as_json:
        print_json({"url": address, "openiap": openiap}, on_one_line=True)
        return
    out = to_stdout()
    out.print("[bold]Console of openiap-worker[/bold]" + (" (read-only)" if read_only else ""))
    rows = [("pages", f"{address}/"), ("API", f"{address}/api/v1"), ("OpenIAP", openiap)]
    show_facts(out, rows)
    out.print("Ctrl-C stops it.", style="dim")
