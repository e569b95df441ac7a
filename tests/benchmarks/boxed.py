"""One ``openiap-worker run`` in a process of its own, as a user starts it, measured from outside.

Every setting is at its default but the client, and where the state lies: a new folder, so that it
has learnt nothing yet. The handlers come from ``boxed_handlers.py``, the server from this tree, the
worker from this one or another.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.benchmarks.peers import official_loop
from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import (
    PASSWORD,
    ROOT,
    USER,
    BenchmarkFailed,
    Server,
    cpu_of,
    fill,
    lane,
    local_server,
    started,
    written,
)

HANDLERS: Final = Path(__file__).with_name("boxed_handlers.py")
NOOP: Final = "boxed-noop"
ROWS: Final = "boxed-rows"
WAIT5: Final = "boxed-wait5"
ROW_BYTES: Final = 60
"""As the peers count them."""
DEADLINE: Final = 300.0
COMPILED: Final[Mapping[str, str]] = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "openiap-boxed-compiled"),
}
"""Modules are compiled once, by the first worker, as an installation leaves them."""
FIRST: Final = 0.005
"""Seconds between two looks while no item was popped."""
SOONEST, LATEST = 0.005, 0.2
"""Seconds between two looks at the counts later: a look costs the server as much as three items, so
there are few of them until the end is near."""


@dataclass(frozen=True, slots=True)
class Worked:
    """What a worker did with a full queue.

    Attributes:
        rate: items per second, from the first pop to the last outcome.
        fresh: the same from the start of its process.
        cpu: microseconds of the worker's processor per item, from the first pop.
        server: the same of the local server.
    """

    rate: float
    fresh: float
    cpu: float
    server: float


def rows_of(size: int) -> dict[str, Any]:
    """Return a payload of about so many bytes of JSON: rows of a number and a text."""
    return {"rows": [{"n": n, "text": "x" * 40} for n in range(size // ROW_BYTES)]}


async def worked(
    client: str, queue: str, items: int, *, size: int = 0, tree: Path = ROOT
) -> Worked:
    """Fill a queue on a new server and let a fresh worker empty it.

    Args:
        size: bytes of JSON in each payload, about; 0 is a number alone.
        tree: the checkout whose worker is taken.

    Raises:
        BenchmarkFailed: it ended, or did not do all of it in time.
    """
    async with local_server() as server:
        await fill(server, queue, items, payload=rows_of(size) if size else None)
        with tempfile.TemporaryDirectory(prefix="openiap-boxed-") as state:
            log = server.folder / "worker.log"
            environment = {
                "apiurl": server.url,
                "OPENIAP_USERNAME": USER,
                "OPENIAP_PASSWORD": PASSWORD,
                "OPENIAP_WORKER_CLIENT": client,
                "OPENIAP_WORKER_STATE_DIR": state,
                **COMPILED,
            }
            command = [sys.executable, "-m", "worker", "run"]
            command += ["--handlers", str(HANDLERS), "--queue", queue]
            began = time.perf_counter()
            async with started(command, log, environment=environment, folder=tree) as process:
                try:
                    async with asyncio.timeout(DEADLINE):
                        return await _watched(server, process, items, began)
                except TimeoutError:
                    tail = log.read_text(errors="replace")[-400:]
                    raise BenchmarkFailed(f"{client} {queue}: not all done; {tail}") from None


async def _watched(
    server: Server, process: asyncio.subprocess.Process, items: int, began: float
) -> Worked:
    """Look at the server's counts until all outcomes have come."""
    # A connection for each look: the server closes an idle one, and that is no failure.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=30, limits=limits, trust_env=False) as http:

        async def stats() -> dict[str, int]:
            if process.returncode is not None:
                raise BenchmarkFailed(f"the worker ended with exit code {process.returncode}")
            found: dict[str, int] = (await http.get(f"{server.http}/stats")).json()
            return found

        while not (await stats()).get("popworkitem"):
            await asyncio.sleep(FIRST)
        first, cpu, served = time.perf_counter(), cpu_of(process.pid), server.cpu()
        while (done := written(await stats())) < items:
            so_far = time.perf_counter() - first
            left = so_far / max(1, done) * (items - done)
            await asyncio.sleep(min(LATEST, max(SOONEST, left / 2)))
        last = time.perf_counter()
        return Worked(
            rate=items / (last - first),
            fresh=items / (last - began),
            cpu=(cpu_of(process.pid) - cpu) / items * 1e6,
            server=(server.cpu() - served) / items * 1e6,
        )


async def looped(plan: Plan, items: int) -> tuple[float, float]:
    """Let the official loop empty a queue; items per second and its microseconds per item."""
    async with local_server() as server:
        await fill(server, NOOP, items)
        return await official_loop(plan, server, NOOP, items)


async def library_alone(items: int) -> float:
    """Return what the official library takes per item, microseconds: it pops and updates, and
    nothing else is done."""
    async with local_server() as server:
        await fill(server, NOOP, items)
        told: dict[str, Any] = {"client": "official", "slots": 32, "queue": NOOP}
        return float((await lane(server, "bare", DEADLINE, **told))["cpu"])
