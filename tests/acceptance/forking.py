"""Handlers whose items have children in every way that Python knows, with every kind of end."""

import asyncio
import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from typing import Any

from worker import Item, handler

POINT = asyncio.Event()

SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
CODES = {"SIGTERM": -15, "SIGINT": 1, "exit": 3, "_exit": 4, "raise": 1, "return": 0}
"""How a child ends, and its exit code then."""


def end(how: str) -> dict[str, Any]:
    """In the child."""
    if how in SIGNALS:
        while True:
            time.sleep(0.01)  # pause() misses a signal that came just before it
    if how == "exit":
        sys.exit(3)
    if how == "_exit":
        os._exit(4)
    if how == "raise":
        raise ValueError("in the child")
    return {"code": "this is the outcome of a child"}


def sent(pid: int, how: str) -> None:
    """In the parent: at once, as the child may not have come to anything yet."""
    if how in SIGNALS:
        os.kill(pid, SIGNALS[how])


def child_of(way: str, how: str) -> Any:
    """Have a child and return how it ended; only in a forked child something else."""
    if way == "os.fork":
        pid = os.fork()
        if pid == 0:
            return end(how)
        sent(pid, how)
        return {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
    if way == "subprocess":
        program = subprocess.Popen(["sleep", "60"], start_new_session=how == "session")
        program.terminate()
        return {"code": program.wait()}
    context = multiprocessing.get_context(way.partition(" ")[0])
    if way.endswith("Pool"):
        with context.Pool(2) as pool:
            return {"code": sum(pool.map(abs, [-1, -2, -3]))}
    if way.endswith("Executor"):
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
            return {"code": sum(executor.map(abs, [-1, -2, -3]))}
    process = context.Process(target=end, args=(how,))
    process.start()
    sent(process.pid or 0, how)
    process.join()
    return {"code": process.exitcode}


def worked(payload: dict[str, Any], item: Item) -> Any:
    """Do what the payload says; in a child also say something, which must do no harm."""
    me = os.getpid()
    done = child_of(payload["way"], payload["how"])
    if done["code"] == -signal.SIGINT:  # it came before the child could raise KeyboardInterrupt
        done["code"] = CODES["SIGINT"]
    if os.getpid() != me:
        item.log.info("said by a child")
    return done


@handler("in-thread", concurrency=4)
def in_thread(payload: dict[str, Any], item: Item) -> Any:
    return worked(payload, item)


@handler("in-process", concurrency=3, process=True)
def in_process(payload: dict[str, Any], item: Item) -> Any:
    return worked(payload, item)


@handler("on-loop", concurrency=4)
async def on_loop(payload: dict[str, Any], item: Item) -> Any:
    return worked(payload, item)


@handler("awaiting", concurrency=1)
async def awaiting(payload: dict[str, Any], item: Item) -> Any:
    """A child that awaits comes back to the loop of the worker."""
    pid = os.fork()
    if pid == 0:
        await POINT.wait()
    return {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


@handler("in-process-on-loop", concurrency=2, process=True)
async def in_process_on_loop(payload: dict[str, Any], item: Item) -> Any:
    return worked(payload, item)


def closed(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    """Close the standard streams as programs do that want to be alone, or only say something."""
    if payload["close"]:
        with contextlib.suppress(OSError):
            os.closerange(0, 3)
    item.log.info("said after that")
    return {"done": True}


@handler("close-on-loop", concurrency=3)
async def close_on_loop(payload: dict[str, Any], item: Item) -> Any:
    return closed(payload, item)


@handler("close-in-thread", concurrency=3)
def close_in_thread(payload: dict[str, Any], item: Item) -> Any:
    return closed(payload, item)


@handler("close-in-process", concurrency=1, process=True)
def close_in_process(payload: dict[str, Any], item: Item) -> Any:
    return closed(payload, item)
