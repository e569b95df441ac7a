"""What a forked child has no part in, seen from real children."""

import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from worker.forks import blind, in_children
from worker.item.known_secrets import STARS, KnownSecrets


class Owner:
    """Holds a descriptor that two must not use."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor


def child(work: object) -> int:
    """Fork, run ``work`` in the child, and return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = work()  # type: ignore[operator]
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_what_a_child_writes_to_a_descriptor_of_the_parents_goes_nowhere() -> None:
    read, write = os.pipe()
    owner = Owner(write)
    in_children(owner, lambda own: blind(own.descriptor))

    def write_and_open() -> int:
        os.write(owner.descriptor, b"from the child")
        return int(os.open(os.devnull, os.O_RDONLY) == owner.descriptor)

    assert child(write_and_open) == 0
    os.write(write, b"from the parent")
    assert os.read(read, 100) == b"from the parent"
    os.close(read)
    os.close(write)


def test_an_owner_that_is_gone_is_not_held() -> None:
    owner = Owner(-1)
    gone = weakref.ref(owner)
    in_children(owner, lambda own: blind(own.descriptor))
    del owner
    assert gone() is None
    assert child(lambda: 0) == 0


def test_signals_of_a_child_are_its_own() -> None:
    program = """
import asyncio, os, signal, time
from worker.engine.signals import Signals
class Log:
    def info(self, *a, **k): pass
    warn = info
async def main():
    stopped = []
    Signals(stop=lambda: stopped.append(1), hurry=lambda: None, log=Log()).catch()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            pid = os.fork()
            while pid == 0: time.sleep(0.01)  # pause() misses a signal that came just before it
        except KeyboardInterrupt:
            os._exit(1)  # not up through asyncio.run, which waits for threads of the parent
        os.kill(pid, number)
        code = await asyncio.to_thread(os.waitpid, pid, 0)
        print(os.waitstatus_to_exitcode(code[1]))
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    while not stopped: await asyncio.sleep(0.01)
    print("stopped", len(stopped))
asyncio.run(main())
"""
    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ).stdout.split()
    assert said[0] == str(-signal.SIGTERM)
    assert said[1] in (str(-signal.SIGINT), "1")
    assert said[-2:] == ["stopped", "1"]


WRITING = """
import fcntl, os, signal, struct, sys, termios, threading
from worker.forks import guard_signals
guard_signals()
name, number = sys.argv[1], {"stdout": 1, "stderr": 2}[sys.argv[1]]
kept = os.dup(number)
read, write = os.pipe()
os.dup2(write, number)
stream = getattr(sys, name)
stream.write("held back ")  # the parent's own, in its buffer
def writing():
    stream.write("x" * 200_000 + chr(10))
    stream.flush()
threading.Thread(target=writing, daemon=True).start()
half = fcntl.fcntl(read, fcntl.F_GETPIPE_SZ) // 2
while struct.unpack("i", fcntl.ioctl(read, termios.FIONREAD, bytes(4)))[0] < half:
    pass  # until the writer is in the middle: the rest does not fit
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    print("said by the child", file=getattr(sys, name), flush=True)
    os._exit(7)
said = []
def draining():
    while True:  # to the end: what the child writes may come in two pieces
        said.append(os.read(read, 65536))
threading.Thread(target=draining, daemon=True).start()
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
os.write(kept, f"{code} {b''.join(said).count(b'held back')}".encode())
os._exit(0)
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_child_that_is_forked_while_another_thread_writes_can_write_and_end(stream: str) -> None:
    """The copy of the stream is locked, and the thread that would unlock it is not in the child."""
    said = subprocess.run(
        [sys.executable, "-c", WRITING, stream],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert getattr(said, stream) == "7 1", said


def test_a_child_that_is_forked_while_another_thread_masks_can_mask() -> None:
    """Each line that a child logs is masked; the lock of the known values may be held then."""
    secrets = KnownSecrets(dict, lambda text: [])
    secrets.hide("much-too-secret")
    with secrets._mutex:

        def masked() -> int:
            signal.alarm(20)
            return int(secrets.masked("much-too-secret") != STARS)

        assert child(masked) == 0
