"""Traps of the official library: threads, standard output, and the end of the process."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from tests.integration.openiap.conftest import ONLY_OFFICIAL, PASSWORD, USER, Door
from worker.openiap.official.client import OfficialClient

pytestmark = ONLY_OFFICIAL

PROGRAM = """
import asyncio, sys
from worker.openiap.types import ConnectionOptions
from worker.openiap.official.client import OfficialClient

async def main(url, web, how):
    client = OfficialClient(ConnectionOptions(
        url=url, http_url=web, username="tester", password="secret"))
    await client.connect(timeout=60)
    await client.pop_workitem("q")
    if how == "disconnect":
        await client.disconnect()
    if how == "busy":
        tasks = [asyncio.create_task(client.pop_workitem("q")) for _ in range(20)]
        await asyncio.sleep(0.005)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("how", "times"),
    [
        *[(how, 2) for how in ("disconnect", "leave", "busy")],
        pytest.param("disconnect", 8, marks=pytest.mark.dear),
        pytest.param("leave", 6, marks=pytest.mark.dear),
        pytest.param("busy", 6, marks=pytest.mark.dear),
    ],
)
async def test_the_process_ends_cleanly_each_time(door: Door, how: str, times: int) -> None:
    await door.queue("q")
    for start in range(0, times, 2):
        ended = await asyncio.gather(*[run(door, how) for _ in range(2)])
        assert ended == [(0, "", "")] * 2, f"round {start}"


async def run(door: Door, how: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(PROGRAM),
        door.url,
        door.server.http_url,
        how,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_calls_need_no_threads(door: Door) -> None:
    await door.queue("q")
    await door.client.push_workitem("q", {})
    before = threading.active_count()
    most = 0

    async def one() -> None:
        nonlocal most
        await door.client.pop_workitem("q")
        most = max(most, threading.active_count())

    await asyncio.gather(*[one() for _ in range(100)])
    assert most <= before + 1


async def test_the_vendor_gets_no_metrics(door: Door) -> None:
    assert os.environ["enable_analytics"] == "false"  # noqa: SIM112 (the library's spelling)


async def test_credentials_are_in_no_text_of_the_client(door: Door) -> None:
    assert isinstance(door.client, OfficialClient)
    for shown in (repr(door.client._link.options), repr(door.client._link.credentials)):
        assert USER in shown
        assert PASSWORD not in shown
