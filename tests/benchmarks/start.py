"""``python -m tests.benchmarks.start``: from process start to the first pop, as the server saw it.

``openiap-worker run`` is started as an agent starts it on a transient machine (``SF_VMID``), with a
state directory that does not exist yet. The clock runs from just before the process is made to the
moment at which the server gave the item out (its ``lastrun``); ``gone`` is when the process had
drained the queue and ended. All modules are compiled, as an installation leaves them: a start
before the first measured one sees to that. With ``--busy`` a process per core but one keeps that
core busy.
"""

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from tests.acceptance.outsider import Outsider
from tests.acceptance.processes import PASSWORD, ROOT, USER, Server, clean_environment

QUEUE: Final = "invoices"
INVOICE: Final[dict[str, Any]] = {
    "number": "4711",
    "supplier": "Acme",
    "total": "119.00",
    "lines": [{"text": "paper", "quantity": 10, "price": "10.00", "vat": "0.19"}],
}
BUSY: Final = "while True: pass"
DEADLINE: Final = 60.0
WANTED: Final = 1.5
"""Seconds that the median may take."""

out = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Started:
    """Seconds from the process's start; ``processor`` is what it used of one until its end."""

    popped: float
    gone: float
    processor: float


async def start_once(server: Server, outsider: Outsider, client: str, folder: Path) -> Started:
    """Push one item, start a worker for it, and return when what happened."""
    (item,) = await outsider.push(QUEUE, [INVOICE])
    environment = {
        **{k: v for k, v in clean_environment().items() if k != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPYCACHEPREFIX": str(folder.parent / "compiled"),
        "apiurl": f"ws://127.0.0.1:{server.port}",
        "OPENIAP_USERNAME": USER,
        "OPENIAP_PASSWORD": PASSWORD,
        "OPENIAP_WORKER_CLIENT": client,
        "OPENIAP_WORKER_STATE_DIR": str(folder),
        "SF_VMID": "a-transient-machine",
    }
    command = str(Path(sys.executable).with_name("openiap-worker"))
    before = processor_seconds()
    began = time.time()
    process = await asyncio.create_subprocess_exec(
        *(command, "run", "--handlers", "handlers.invoices"),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = b""
    try:
        async with asyncio.timeout(DEADLINE):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    gone = time.time() - began
    (document,) = await outsider.query("workitems", {"_id": item})
    if process.returncode or document["state"] != "successful":
        raise RuntimeError(
            f"exit {process.returncode}, item {document['state']}:\n{said.decode(errors='replace')}"
        )
    popped = datetime.fromisoformat(document["lastrun"]).timestamp()
    return Started(popped - began, gone, processor_seconds() - before)


def processor_seconds() -> float:
    """Return what the children that have ended used; the server and the busy ones have not."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def measure(client: str, runs: int) -> list[Started]:
    """Start so many workers, one after the other, after one that compiles."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(folder)
        try:
            await server.start()
            async with Outsider(server.port, USER, PASSWORD) as outsider:
                await outsider.queue(QUEUE, maxretries=1)
                return [
                    await start_once(server, outsider, client, folder / f"state{number}")
                    for number in range(runs + 1)
                ][1:]
        finally:
            await server.clean_up()


def row(client: str, started: list[Started], load: str) -> str:
    """Return what is printed for one client."""
    popped = sorted(one.popped for one in started)
    return (
        f"{client:<9}{load:<6} first pop: median {statistics.median(popped):.2f} s,"
        f" {popped[0]:.2f} to {popped[-1]:.2f} s;"
        f" gone: median {statistics.median(one.gone for one in started):.2f} s;"
        f" processor: median {statistics.median(one.processor for one in started):.2f} s"
    )


async def run(given: argparse.Namespace) -> bool:
    """Measure and print; whether every median is as wanted."""
    well = True
    loads = ["quiet", "busy"] if given.busy else ["quiet"]
    for load in loads:
        cores = max(1, (os.cpu_count() or 1) - 1) if load == "busy" else 0
        busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(cores)]
        try:
            for client in [given.client] if given.client else ["official", "native"]:
                started = await measure(client, given.runs)
                out.print(row(client, started, load), markup=False, soft_wrap=True)
                well = well and statistics.median(one.popped for one in started) < WANTED
        finally:
            for process in busy:
                process.kill()
                process.wait()
    return well


def main() -> int:
    """Read the command line, run, return 1 when a median is above 1.5 s."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.start", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="starts of each (default 10)")
    parser.add_argument("--client", choices=("official", "native"), help="with one client only")
    parser.add_argument("--busy", action="store_true", help="then again with the other cores busy")
    return 0 if asyncio.run(run(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
