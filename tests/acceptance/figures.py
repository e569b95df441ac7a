"""What promises name in seconds, measured: use of the server's limit, a stop, a red ``/livez``.

The suite asks only whether these things happen, whatever the machine; ``long.py`` runs this.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx

from tests.acceptance.processes import WAIT, until
from tests.acceptance.stage import PATIENT, Stage
from tests.acceptance.under_limit import worked_under

FIGURES: Final = "Figures"
HEAD: Final = ["client", "what", "bound", "measured"]
LIMIT: Final = 30
MESSAGES: Final = 2
ITEMS: Final = 300
ALLOWED: Final = ITEMS * MESSAGES / LIMIT
DRAIN, CANCEL = 3.0, 1.0
SHORT, LONG, ENDLESS = 3, 3, 2


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise: what was measured is at most, or at least, its bound."""

    what: str
    bound: float
    measured: float
    least: bool = False

    @property
    def kept(self) -> bool:
        """Whether it is within its bound."""
        return self.measured >= self.bound if self.least else self.measured <= self.bound

    def row(self, client: str) -> list[object]:
        """Return its line of the table."""
        sign = "≥" if self.least else "≤"
        return [client, self.what, f"{sign} {self.bound:.1f}", f"{self.measured:.1f}"]


async def measured(client: str, folder: Path) -> Sequence[Figure]:
    """Measure all with one client."""
    one = await seconds_for(ITEMS, 1, client, folder / "one")
    four = await seconds_for(2 * ITEMS, 4, client, folder / "four")
    return (
        Figure(f"s for {ITEMS} items under a limit of {LIMIT} messages/s", ALLOWED * 1.15, one),
        Figure("times as fast with 4 connections", 3.5, 2 * one / four, least=True),
        Figure(
            f"s for a stop, drain {DRAIN:.0f} s, cancel {CANCEL:.0f} s, {LONG + ENDLESS} too long",
            DRAIN + CANCEL + 2,
            await seconds_to_stop(client, folder / "stop"),
        ),
        Figure("s until /livez is red", 6.0, await seconds_to_red(client, folder / "red")),
    )


async def seconds_for(items: int, connections: int, client: str, folder: Path) -> float:
    """Work so many items, and return the seconds from the first pop to the last outcome."""
    documents = await worked_under(
        LIMIT, items, connections=connections, rate_limit=25, client=client, folder=folder
    )
    begun = min(datetime.fromisoformat(one["lastrun"]) for one in documents)
    ended = max(datetime.fromisoformat(one["_modified"]) for one in documents)
    return (ended - begun).total_seconds()


async def seconds_to_stop(client: str, folder: Path) -> float:
    """Stop a worker amid items that end after 1 s, after 10 s and never."""
    folder.mkdir()
    soon, late = folder / "soon", folder / "late"
    payloads = [{"until": str(soon)}] * SHORT + [{"until": str(late)}] * LONG + [{}] * ENDLESS
    async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("stop-async", maxretries=3)
        worker = stage.worker("a", "stop-async", drain_timeout=DRAIN, cancel_timeout=CANCEL)
        await worker.started()
        pushed = await outsider.push("stop-async", payloads)
        begun = stage.journal
        await until("all began", lambda: len(begun.notes("start")) >= len(pushed), WAIT)
        later = asyncio.get_running_loop().call_later
        timers = [later(1.0, soon.touch), later(10.0, late.touch)]
        began = time.monotonic()
        worker.terminate()
        code = await worker.ended(WAIT)
        took = time.monotonic() - began
        for timer in timers:
            timer.cancel()
        found = {one["_id"]: one["state"] for one in await outsider.items("stop-async")}
    assert code == 0
    assert [found[one] for one in pushed] == ["successful"] * SHORT + ["new"] * (LONG + ENDLESS)
    return took


async def seconds_to_red(client: str, folder: Path) -> float:
    """Block a worker's loop, and return after how many seconds ``/livez`` says so."""
    folder.mkdir()
    async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
        port, end = stage.port(), folder / "end"
        await outsider.queue("blocking", maxretries=3)
        worker = stage.worker("a", "blocking", health_port=port, **PATIENT)
        await worker.started()
        async with httpx.AsyncClient(trust_env=False, timeout=WAIT) as http:

            async def red() -> bool:
                return (await http.get(f"http://127.0.0.1:{port}/livez")).status_code == 503

            await outsider.push("blocking", [{"until": str(end)}])
            await until("it blocks", lambda: bool(stage.journal.notes("start")), WAIT)
            (start,) = stage.journal.notes("start")
            await until("it is red", red, WAIT, every=0.05)
            took = time.time() - float(start["at"])
            end.touch()
    return took
