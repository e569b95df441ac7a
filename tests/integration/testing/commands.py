"""The command line in a process of its own, against the test's server."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from worker.testing import LocalOpenIAP

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


async def command(
    openiap: LocalOpenIAP | None, folder: Path, *arguments: str, typed: str = ""
) -> Done:
    """Run ``openiap-worker ARGUMENTS`` in a folder and return how it ended."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("OPENIAP") and name not in ("jwt", "wiq", "apiurl", "queue")
    }
    if openiap is not None:
        environment |= openiap.environment
        environment["OPENIAP_WORKER_CLIENT"] = openiap.client_name
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "worker",
        *arguments,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(110):
        out, err = await process.communicate(typed.encode())
    return Done(process.returncode or 0, out.decode(), err.decode())
