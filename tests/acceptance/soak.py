"""Soak: many items that do nothing through one worker, and what has grown at the end."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.acceptance.processes import WAIT, until
from tests.acceptance.stage import Stage

QUEUE: Final = "nothing"
BATCH: Final = 500
AHEAD: Final = 3000
"""Items that wait at the server at most: the worker is what is measured."""
MEGABYTE: Final = 1024 * 1024
SAMPLES: Final = 5
KEYS: Final = ("threads", "tasks", "files", "objects")
SLACK: Final = {"threads": 2, "tasks": 20, "files": 3, "objects": 4000}
"""What comes and goes with the items that happen to be in flight at a sample."""


@dataclass(frozen=True)
class Soaked:
    """Figures early and at the end."""

    client: str
    items: int
    early_at: int
    early: dict[str, float]
    late: dict[str, float]
    per_second: float
    successful: int

    @property
    def megabytes(self) -> float:
        """Growth of the resident memory."""
        return (self.late["rss"] - self.early["rss"]) / MEGABYTE

    def faults(self, *, allowed_megabytes: float = 10.0) -> list[str]:
        """Return what does not hold."""
        found = []
        if self.megabytes > allowed_megabytes:
            found.append(f"memory grew by {self.megabytes:.1f} MB after {self.early_at} items")
        for key in KEYS:
            if self.late[key] > self.early[key] + SLACK[key]:
                found.append(f"{key}: {self.early[key]:.0f}, then {self.late[key]:.0f}")
        if self.successful != self.items:
            found.append(f"{self.successful} of {self.items} items are successful")
        return found


async def soak(client: str, items: int, early_at: int, folder: Path, *, deadline: float) -> Soaked:
    """Push, wait, compare."""
    async with Stage(folder, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue(QUEUE, maxretries=3)
        figures = folder / "figures"
        worker = stage.worker("soaked", QUEUE, plan={"measure": str(figures)}, call_timeout=30.0)
        await worker.started()
        began, pushed = time.monotonic(), 0
        while pushed < items:
            count = min(BATCH, items - pushed)
            pushed += len(await outsider.push(QUEUE, [{"n": n} for n in range(count)]))

            async def room() -> bool:
                return await outsider.count(QUEUE, "new") < AHEAD

            await until("the worker works", room, deadline, every=0.1, tell=worker.tail)

        async def settled() -> bool:  # by counts: so many documents are too much for one answer
            return await outsider.count(QUEUE, "new", "processing") == 0

        await until("all items have an outcome", settled, deadline, every=0.2, tell=worker.tail)
        per_second = items / (time.monotonic() - began)
        seen = len(samples(figures))
        await until("the last figures", lambda: len(samples(figures)) >= seen + 3, WAIT)
        successful = await outsider.count(QUEUE, "successful")
        found = samples(figures)
    start = next(n for n, sample in enumerate(found) if sample["done"] >= early_at)
    return Soaked(
        client,
        items,
        early_at,
        middle(found[start : start + SAMPLES]),
        middle(found[-SAMPLES:]),
        per_second,
        successful,
    )


def samples(path: Path) -> list[dict[str, Any]]:
    """Return the figures that the worker wrote so far."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def middle(found: list[dict[str, Any]]) -> dict[str, float]:
    """Return the median of each figure."""
    return {key: median(sample[key] for sample in found) for key in ("rss", *KEYS)}


HEAD: Final = ["client", "items", "successful", "memory, MB", "grown by, MB", *KEYS[:3], "items/s"]


def row(soaked: Soaked) -> list[object]:
    """Return one line of the table."""
    return [
        soaked.client,
        soaked.items,
        soaked.successful,
        f"{soaked.late['rss'] / MEGABYTE:.0f}",
        f"{soaked.megabytes:.1f}",
        *(f"{soaked.early[key]:.0f} → {soaked.late[key]:.0f}" for key in KEYS[:3]),
        f"{soaked.per_second:.0f}",
    ]
