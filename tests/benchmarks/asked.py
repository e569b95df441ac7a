"""What fails and why, what waits and how long, what each worker does now: what each answer takes.

python -m tests.benchmarks.asked [FOLDER]

A fleet of 5 workers in processes of their own, 20,000 items, 2,000 of which failed in 4 ways. Each
question is one command in a process of its own: its whole time, its CPU and its messages. With a
folder, what each command shows is written there. Last ``top``: its messages for the first picture,
and those a second while it runs after that.
"""

import asyncio
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from tests.benchmarks.stage import (
    PASSWORD,
    ROOT,
    USER,
    BenchmarkFailed,
    Server,
    clean_environment,
    connected,
    local_server,
    push,
    started,
)
from worker.openiap.client import Client
from worker.openiap.workitem import WorkItemQueue

WORKERS: Final = 5
ORDERS: Final = 16_000
REPORTS: Final = 1_000
LATER: Final = 3_000
FAILED: Final = 2_000
DEADLINE: Final = 240.0
TIMES: Final = 3
WATCHED: Final = 20.0
FIRST: Final = 15.0
"""Seconds within which ``top`` has its first picture, on a busy machine as well."""
QUESTIONS: Final = {
    "fails": ("items", "errors"),
    "waits": ("queues", "list"),
    "works": ("workers", "list"),
    "runs": ("workers", "list", "--items"),
}
UNSEEN: Final = frozenset({"signin", "getelement", "ping", "pong"})


def environment(server: Server, name: str = "") -> dict[str, str]:
    """Return what a command needs to sign in."""
    return {
        **clean_environment(),
        "OPENIAP_URL": server.url,
        "OPENIAP_USERNAME": USER,
        "OPENIAP_PASSWORD": PASSWORD,
        "OPENIAP_WORKER_CLIENT": "native",
        "OPENIAP_WORKER_STATE_DIR": str(server.folder / f"state{name}"),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
    }


@asynccontextmanager
async def fleet() -> AsyncIterator[Server]:
    """Run a server and workers that have done all that can be done, and work what takes long.

    Raises:
        BenchmarkFailed: they did not get there.
    """
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(local_server())
        client = await stack.enter_async_context(connected(server))
        for name, count in (("orders", ORDERS), ("reports", REPORTS), ("later", LATER)):
            await client.add_workitem_queue(WorkItemQueue(name=name, maxretries=1))
            await push(client, name, count)
        for number in range(WORKERS):
            command = [sys.executable, "-m", "worker", "run"]
            command += ["--handlers", "tests.benchmarks.asked_handlers", "--set", "item_log=none"]
            more = {**environment(server, str(number)), "OPENIAP_WORKER_RATE_LIMIT": "0"}
            more |= {"OPENIAP_WORKER_WORKER_ID": f"w{number + 1}"}
            log = server.folder / f"worker{number}.log"
            await stack.enter_async_context(started(command, log, environment=more))
        await _settled(client)
        yield server


async def _settled(client: Client) -> None:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        left = await client.count("workitems", {"wiq": "orders", "state": {"$ne": "failed"}})
        done = await client.count("workitems", {"wiq": "orders", "state": "successful"})
        running = await client.count("workitems", {"wiq": "reports", "state": "processing"})
        if left == done == ORDERS - FAILED and running == WORKERS * 2:
            return
        # Each look is a message or three; a watch would tell of 20,000 items one by one.
        await asyncio.sleep(0.5)
    raise BenchmarkFailed("the fleet did not get there in time")


async def messages(server: Server) -> dict[str, int]:
    """Return how often each command came, from workers as well."""
    return {name: count for name, count in (await server.stats()).items() if name not in UNSEEN}


async def ask(server: Server, command: tuple[str, ...]) -> tuple[float, float, str]:
    """Run a command and return its seconds, those of CPU, and what it wrote.

    Raises:
        BenchmarkFailed: it failed.
    """
    began, used = time.monotonic(), _used()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", *command),
        cwd=ROOT,
        env=environment(server),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise BenchmarkFailed(f"{command}: {out.decode()[-400:]}")
    return time.monotonic() - began, _used() - used, out.decode()


def _used() -> float:
    """Return the seconds of CPU of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def watch(server: Server) -> tuple[dict[str, int], dict[str, int]]:
    """Run ``top`` in a terminal of its own for a while, which nothing is typed into; returns the
    messages until its first picture is there, and those of the time after it."""
    here, there = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "top"),
        cwd=ROOT,
        env={**environment(server), "TERM": "xterm-256color"},
        stdin=there,
        stdout=there,
        stderr=there,
        start_new_session=True,
    )
    os.close(there)
    loop = asyncio.get_running_loop()

    def drop() -> None:
        try:
            os.read(here, 65_536)
        except OSError:  # it has ended
            loop.remove_reader(here)

    loop.add_reader(here, drop)
    try:
        before = await messages(server)
        await asyncio.sleep(FIRST)
        drawn = await messages(server)
        await asyncio.sleep(WATCHED)
        after = await messages(server)
        process.terminate()
        await process.wait()
    finally:
        loop.remove_reader(here)
        os.close(here)
    return _more(drawn, before), _more(after, drawn)


def _more(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    found = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in found.items() if count}


async def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    async with fleet() as server:
        print(f"a fleet at {server.url}", flush=True)
        for name, command in QUESTIONS.items():
            took, cpu, shown, sent = [], [], "", dict[str, int]()
            for _ in range(TIMES):
                before = await messages(server)
                seconds, used, shown = await ask(server, command)
                more = _more(await messages(server), before)
                took.append(seconds)
                cpu.append(used)
                if not sent or sum(more.values()) < sum(sent.values()):
                    sent = more  # the one that no heartbeat came between
            seconds, used = sorted(took)[TIMES // 2], sorted(cpu)[TIMES // 2]
            asked = f"openiap-worker {' '.join(command)}"
            line = f"{asked}: {seconds:.2f} s, {used:.2f} s of CPU, {sent}"
            print(line, flush=True)
            if folder is not None:
                (folder / f"ask-{name}.txt").write_text(f"$ {line}\n\n{shown}")
    # Where nobody else asks: a fleet's own messages differ from one time to the next.
    async with local_server() as server, connected(server) as client:
        for name in ("orders", "reports", "later"):
            await client.add_workitem_queue(WorkItemQueue(name=name))
        first, then = await watch(server)
    print(f"top: {sum(then.values()) / WATCHED:.2f} messages/s, {then}", flush=True)
    print(f"top, its first picture and {FIRST:g} s: {first}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
