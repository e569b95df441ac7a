"""The long form: ``python -m tests.acceptance.ordered.long``; exit code 1 if something broke."""

import asyncio
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.acceptance.ordered.upheaval import HEAD, Upheaval, row, upset
from tests.acceptance.results import table, write_section

out = Console(highlight=False)


async def run() -> bool:
    """Run it with each client; whether all held."""
    rows, well = [], True
    for client in ("official", "native"):
        with tempfile.TemporaryDirectory() as folder:
            order = await upset(Upheaval(client), Path(folder), deadline=180)
        faults = order.faults()
        well = well and not faults
        rows.append(row(order))
        out.print(f"keys and rates, {client}: {'; '.join(faults) or 'holds'}", markup=False)
    write_section("Keys and rates, long form", table(HEAD, rows))
    return well


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(run()) else 1)
