"""The peers on Redis and the official loop, as ``bench_dir`` brings them."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.benchmarks.plan import Plan
from tests.benchmarks.stage import PASSWORD, USER, BenchmarkFailed, Server, told

REDIS_PORT: Final = 6379
PEERS: Final = ("arq", "saq", "taskiq", "dramatiq", "celery", "streaq")
PEERS_DEADLINE: Final = 600.0
"""Seconds for one run of all, the first of which makes their environments."""
REDIS_ENDS: Final = 30.0
"""Seconds that it may take to end."""
LOOP_DEADLINE: Final = 300.0
SLOTS: Final = 32
_PEER: Final = re.compile(
    r"^(\w+)\s.*jobs/s\s+([\d.]+)\s+cpu us/job\s+([\d.]+)\s+rss MB\s+([\d.]+)"
)
_LOOP: Final = re.compile(r"official items/s\s+([\d.]+)\s+cpu us/item\s+([\d.]+)\s+items (\d+)")

Peer = tuple[float, float, float]
"""Jobs per second, microseconds of CPU per job, megabytes."""


def why_no_peers(plan: Plan) -> str:
    """Return why the peers cannot be run here, or ""."""
    if not plan.peers:
        return "left out"
    if not (plan.bench_dir / "run_peers").is_file():
        return f"no run_peers in {plan.bench_dir.name}/ (--bench-dir)"
    if shutil.which("redis-server") is None or shutil.which("redis-cli") is None:
        return "no redis-server on this machine"
    if _redis_runs():
        return f"a Redis runs on port {REDIS_PORT} already, and the peers would empty it"
    return ""


def _redis_runs() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", REDIS_PORT)) == 0


async def _redis_gone() -> None:
    """Wait until the Redis that was told to end has ended: it frees large payloads for a while, and
    would be taken for somebody else's by whoever runs the peers next."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REDIS_ENDS):
            while _redis_runs():
                await asyncio.sleep(0.05)


async def run_peers(plan: Plan, jobs: int, *, payload: int = 0) -> Mapping[str, Peer]:
    """Run all peers once; one that gave no result is left out.

    Args:
        payload: bytes of JSON that each job carries, about.
    """
    plan.peers_dir.mkdir(parents=True, exist_ok=True)
    command = ["bash", str(plan.bench_dir / "run_peers"), str(jobs), str(SLOTS)]
    log = plan.peers_dir / "log"
    try:
        out = await told(
            [*command, str(plan.peers_dir)],
            PEERS_DEADLINE,
            log,
            environment={"PAYLOAD": str(payload)},
            folder=plan.peers_dir,
        )
    except BenchmarkFailed:
        _stop_redis(plan.peers_dir / "redis.pid")
        return {}
    finally:
        await _redis_gone()
    found: dict[str, Peer] = {}
    for line in out.splitlines():
        match = _PEER.match(line)
        if match:
            found[match[1]] = (float(match[2]), float(match[3]), float(match[4]))
    return found


def _stop_redis(pidfile: Path) -> None:
    """End the Redis that the script left behind; it runs as a daemon, outside of its group."""
    with contextlib.suppress(OSError, ValueError):
        os.kill(int(pidfile.read_text()), signal.SIGTERM)


def why_no_loop(plan: Plan) -> str:
    """Return why the official loop cannot be run here, or ""."""
    if not (plan.bench_dir / "official_loop.py").is_file():
        return f"no official_loop.py in {plan.bench_dir.name}/ (--bench-dir)"
    return ""


async def official_loop(plan: Plan, server: Server, queue: str, items: int) -> tuple[float, float]:
    """Run the loop of the official templates; returns items per second and CPU per item.

    Raises:
        BenchmarkFailed: it failed, or did not find all items.
    """
    url = server.url.replace("ws://", f"ws://{quote(USER)}:{quote(PASSWORD)}@", 1)
    script = str((plan.bench_dir / "official_loop.py").resolve())
    with tempfile.TemporaryDirectory(prefix="openiap-loop-") as folder:
        out = await told(
            [sys.executable, script, url, queue, str(items)],
            LOOP_DEADLINE,
            server.folder / "loop.log",
            environment={"enable_analytics": "false"},
            folder=Path(folder),
        )
    match = _LOOP.search(out)
    if match is None or int(match[3]) != items:
        raise BenchmarkFailed(f"the official loop said: {out[-200:]}")
    return float(match[1]), float(match[2])
