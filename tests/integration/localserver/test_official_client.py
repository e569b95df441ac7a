"""The official client, as it is, against the local server."""

import asyncio
import os
import sys
from pathlib import Path

from worker.localserver import LocalServer

ROUND = Path(__file__).with_name("official_round.py")


async def test_the_official_client_is_served(
    server: LocalServer, transport: str, tmp_path: Path
) -> None:
    url = server.ws_url if transport == "ws" else server.grpc_url
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROUND),
        url,
        "tester",
        "correct horse",
        transport,
        str(tmp_path),
        # The library drops an item's files into the working directory unless told otherwise.
        cwd=tmp_path,
        # Its temporary file is named after the second: two of them at once need a folder each.
        env={**os.environ, "TMPDIR": str(tmp_path), "TEMP": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode == 0, said.decode()
