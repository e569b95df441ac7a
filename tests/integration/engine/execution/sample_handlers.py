"""Handlers that processes of the tests import: good ones, and every kind of bad one."""

import asyncio
import ctypes
import functools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker import ApplicationError, BusinessError, Item, Retry, Skip, handler
from worker.item.context import current_item


class Sum(BaseModel):
    a: int
    b: int


class Total(BaseModel):
    total: int


class ModemError(OSError):
    """A class of the handler's own, with a text and a constructor of its own."""

    def __init__(self, line: int, tone: str) -> None:
        super().__init__(line, tone)
        self.line = line
        self.tone = tone

    def __str__(self) -> str:
        return f"line {self.line}: {self.tone}"


class RefusedError(BusinessError):
    """A business error of the handler's own."""


@handler("add", process=True)
def add(sum_: Sum, item: Item) -> Total:
    assert current_item.get() is item
    return Total(total=sum_.a + sum_.b)


@handler("add-async", process=True)
async def add_async(sum_: Sum, item: Item) -> Total:
    await asyncio.sleep(0)
    assert current_item.get() is item
    return Total(total=sum_.a + sum_.b)


async def scaled(sum_: Sum, item: Item, factor: int = 1) -> Total:
    await asyncio.sleep(0)
    assert current_item.get() is item
    return Total(total=factor * (sum_.a + sum_.b))


class Adds:
    def __call__(self, sum_: Sum, item: Item) -> Any:
        return scaled(sum_, item, 3)


def logged(function: Any) -> Any:
    @functools.wraps(function)
    def inner(*args: Any, **arguments: Any) -> Any:
        return function(*args, **arguments)

    return inner


partial = handler("partial", process=True)(functools.partial(scaled, factor=2))
callable_object = handler("object", process=True)(Adds())
wrapped = handler("wrapped", process=True)(logged(scaled))


@handler("who", process=True)
def who(payload: dict[str, Any], item: Item) -> dict[str, Any]:
    print("what a handler prints must not reach the pipe")  # noqa: T201
    sys.stdout.flush()
    return {
        "pid": os.getpid(),
        "id": item.id,
        "name": item.name,
        "queue": item.queue,
        "attempt": item.attempt,
        "left": item.attempts_left,
        "payload": payload,
        "started": item.started.isoformat(),
        "threads": sys.modules.get("grpc") is not None,
    }


@handler("spin", process=True)
def spin(payload: dict[str, Any]) -> dict[str, int]:
    """Use CPU for some milliseconds."""
    end = time.process_time() + payload["ms"] / 1000
    while time.process_time() < end:
        pass
    return {"pid": os.getpid()}


@handler("raise", process=True)
def raise_(payload: dict[str, Any]) -> None:
    kind = payload["kind"]
    if kind == "business":
        raise BusinessError("bad amount", code="BAD", data={"amount": "0"})
    if kind == "refused":
        raise RefusedError("refused", code="R")
    if kind == "application":
        raise ApplicationError("later", code="L")
    if kind == "retry":
        raise Retry(after="5m", reason="closed")
    if kind == "retry-at":
        raise Retry(at=datetime(2030, 1, 2, tzinfo=UTC))
    if kind == "skip":
        raise Skip("nothing to do")
    if kind == "modem":
        raise ModemError(3, "busy")
    if kind == "key":
        raise KeyError("number")
    if kind == "group":
        raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])
    if kind == "exit":
        raise SystemExit(3)
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "cancelled":
        raise asyncio.CancelledError

    class LocalError(Exception):
        pass

    raise LocalError("nobody knows this class")


@handler("result", process=True)
def result(payload: dict[str, Any]) -> Any:
    return {"set": object(), "number": 7, "nan": {"x": float("nan")}}[payload["kind"]]


@handler("endless", process=True, timeout=0.2, hard_timeout=0.4)
def endless(payload: dict[str, Any]) -> None:
    while True:
        pass


@handler("native", process=True, timeout=0.2, hard_timeout=0.4)
def native(payload: dict[str, Any]) -> None:
    # The regular expression engine never gives the interpreter away.
    re.match(r"(a+)+b", "a" * 64)


@handler("frozen", process=True, timeout=0.2, hard_timeout=0.4)
def frozen(payload: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@handler("patient", process=True, timeout=0.2, hard_timeout=30)
def patient(payload: dict[str, Any], item: Item) -> dict[str, bool]:
    while not item.stopping:
        time.sleep(0.005)
    return {"stopped": True}


@handler("patient-async", process=True, timeout=0.2, hard_timeout=30)
async def patient_async(payload: dict[str, Any], item: Item) -> None:
    await asyncio.sleep(60)


@handler("stubborn-async", process=True, timeout=0.2, hard_timeout=0.4)
async def stubborn_async(payload: dict[str, Any]) -> None:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


@handler("sleep", process=True, timeout=None)
def sleep(payload: dict[str, Any]) -> dict[str, bool]:
    Path(payload["sign"]).write_text(str(os.getpid()))
    time.sleep(payload.get("seconds", 600))
    return {"slept": True}


@handler("hog", process=True, memory="256MB")
def hog(payload: dict[str, Any]) -> dict[str, int]:
    kept = []
    for _ in range(payload["steps"]):
        kept.append(b"x" * payload["mb"] * 1024**2)
        time.sleep(payload.get("pause", 0))
    return {"kept": len(kept)}


@handler("cpu", process=True, cpu=0.5)
def cpu(payload: dict[str, Any]) -> dict[str, bool]:
    if payload["burn"]:
        while True:
            pass
    time.sleep(payload.get("seconds", 0))
    return {"ok": True}


@handler("die", process=True)
def die(payload: dict[str, Any]) -> dict[str, int]:
    how = payload["how"]
    if how == "exit":
        os._exit(3)
    if how == "segv":
        ctypes.string_at(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "fork":
        if os.fork() == 0:
            time.sleep(600)  # holds a copy of the pipe
        os._exit(4)
    if how == "garbage":
        for fd in range(3, 64):
            try:
                os.write(fd, b"\xff\xff\xff\xff not a frame")
            except OSError:
                continue
        time.sleep(600)
    return {"pid": os.getpid()}


@handler("start", process=True, timeout=None)
def start(payload: dict[str, Any]) -> None:
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(payload["sign"]).write_text(str(program.pid))
    program.wait()


@handler("files", process=True)
def files(item: Item) -> dict[str, Any]:
    path = item.wait(item.files["scan.pdf"].path())
    item.wait(item.attach(path, "copy.pdf"))
    item.wait(item.attach(b"from memory", "note.txt"))
    item.log.info("read", size=item.wait(item.files["scan.pdf"].size()), odd=object)
    return {"text": item.wait(item.files["scan.pdf"].read_text())}


@handler("files-async", process=True)
async def files_async(item: Item) -> dict[str, Any]:
    path = await item.files["scan.pdf"].path()
    await item.attach(path, "copy.pdf")
    await item.files["absent.pdf"].path()
    return {}


def _program(source: str, payload: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """Start a program in a session of its own that writes its pid to ``sign``."""
    begin = f"import os, time; open({payload['sign']!r}, 'a').write(f'{{os.getpid()}} ')\n"
    return subprocess.Popen([sys.executable, "-c", begin + source], start_new_session=True)


@handler("family", process=True, memory="300MB", cpu="2s", timeout=20, hard_timeout=30)
def family(payload: dict[str, Any]) -> dict[str, bool]:
    """Have programs in sessions of their own, and do with them what the payload says."""
    how, sign = payload["how"], Path(payload["sign"])
    if how == "memory":
        for _ in range(4):
            _program("held = b'x' * (120 << 20); time.sleep(60)", payload)
    elif how == "cpu":
        for _ in range(3):
            _program("while True: pass", payload)
    elif how == "daemon":
        fork = "if os.fork(): os._exit(0)\n"
        tell = f"open({payload['sign']!r}, 'a').write(f'{{os.getpid()}} ')\n"
        _program(f"{fork}os.setsid()\n{tell}time.sleep(60)", payload).wait()
    else:
        _program("time.sleep(60)", payload)
    while not sign.exists() or len(sign.read_text().split()) < payload["programs"]:
        time.sleep(0.005)
    if how == "crash":
        os._exit(7)
    if how not in ("leave", "daemon"):
        time.sleep(60)
    return {"left": True}


@handler("sharing", process=True, memory="400MB")
def sharing(payload: dict[str, Any]) -> dict[str, int]:
    """Forked children share what their parent holds: it counts once."""
    held = bytearray(b"x") * (150 << 20)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(time.sleep, [0.6] * 4)
    return {"held": len(held)}
