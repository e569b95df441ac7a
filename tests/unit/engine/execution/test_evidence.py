"""Stacks, usage and errors as they get onto an item."""

import asyncio
import os
import signal
import sys
import threading
import time
from typing import Any

import pytest

from worker.engine.execution.child_process import ChildProcess
from worker.engine.execution.limits import Limits
from worker.engine.execution.raised import as_exception
from worker.engine.execution.remote import RemoteError, error_from_message, error_to_message
from worker.engine.execution.stacks import UNKNOWN, stack_of_frames, stack_of_task, stack_of_thread
from worker.engine.execution.usage import Meter, died, fault_frames, memory_broken
from worker.errors import ApplicationError, BusinessError, TimeLimitExceeded
from worker.item.error_text import described, source_of
from worker.package_path import OWN_CODE


def test_limits_name_the_handler_and_the_time() -> None:
    limits = Limits("handlers.book", 300, 330)
    assert str(limits.too_long()) == "handlers.book ran longer than its timeout of 5m"
    error = limits.given_up("  File x\n", "its process was killed")
    assert "hard_timeout of 5m30s: its process was killed" in str(error)
    assert source_of(error).startswith("  File x\n")


async def test_the_stack_of_a_task_goes_down_to_what_it_waits_for() -> None:
    async def outer() -> None:
        await inner()

    async def inner() -> None:
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    stack = stack_of_task(task)
    assert stack.index("await inner()") < stack.index("create_future()")
    task.cancel()


def test_the_stack_of_a_thread_says_where_it_is_and_nothing_after_its_end() -> None:
    ready, release = threading.Event(), threading.Event()

    def held() -> None:
        ready.set()
        release.wait(600)

    thread = threading.Thread(target=held)
    thread.start()
    assert ready.wait(60)
    until = time.monotonic() + 60
    # It says that it is there just before it is.
    while "release.wait(600)" not in stack_of_thread(thread.ident):
        assert time.monotonic() < until, stack_of_thread(thread.ident)
        time.sleep(0.001)
    release.set()
    thread.join(60)
    assert stack_of_thread(thread.ident) == UNKNOWN
    assert stack_of_thread(None) == UNKNOWN


def test_secrets_in_a_stack_are_masked(tmp_path: Any) -> None:
    module = tmp_path / "secret.py"
    module.write_text('connect(password="hunter2")\n')
    assert "hunter2" not in stack_of_frames([(str(module), 1, "work")])


def test_a_dump_of_the_fault_handler_becomes_frames_outermost_first() -> None:
    dump = (
        "Fatal Python error: Segmentation fault\n\n"
        "Current thread 0x00007f (most recent call first):\n"
        '  File "/x/b.py", line 2 in inner\n'
        '  File "/x/a.py", line 1 in outer\n\n'
        "Extension modules: x (total: 1)\n"
    )
    assert fault_frames(dump) == [("/x/a.py", 1, "outer"), ("/x/b.py", 2, "inner")]
    assert fault_frames("Current thread 0x1 (most recent call first):\n  <no Python frame>\n") == []
    assert fault_frames("") == []


async def test_a_stack_that_is_still_being_written_is_waited_for() -> None:
    """A busy machine lets the child write a line of it, and the rest later."""
    child = ChildProcess(lambda child: None)
    try:
        faults = child._faults
        assert faults is not None
        own = f'  File "{OWN_CODE}engine/execution/child.py", line 3 in _run\n'
        dump = (
            "Current thread 0x00007f (most recent call first):\n",
            '  File "/x/b.py", line 2 in inner\n',
            '  File "/x/a.py", line 1 in outer\n',
            own,
        )
        for line in dump:
            assert child.dump(writing=True) == UNKNOWN, "it stays as it is, and reaches nothing"
            os.write(faults.fileno(), line.encode())
            assert child.dump(writing=True) == UNKNOWN, "it grows"
        whole = child.dump(writing=True)
        assert "in outer" in whole
        assert "in inner" in whole
        assert child.dump() == UNKNOWN, "each is taken once"
        os.write(faults.fileno(), "".join(dump[:2]).encode())
        assert "in inner" in child.dump(), "who died has no more to say"
    finally:
        await child.end()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (3, "h: its process exited with code 3"),
        (-signal.SIGTERM, "h: its process was killed by SIGTERM"),
        (-200, "h: its process was killed by signal 200"),
    ],
)
def test_a_death_is_told_by_signal_or_exit_code(code: int, text: str) -> None:
    assert str(died("h", code, 0)) == text
    assert str(died("h", code, 64 * 1024**2)) == f"{text}, peak 64 MB"


def test_a_meter_tells_which_limit_is_broken() -> None:
    meter = Meter(process=None, cpu_before=0)  # type: ignore[arg-type]
    assert meter.broken("h", 100, 1.0) is None
    meter.peak = 200 * 1024**2
    broken = meter.broken("h", 100 * 1024**2, None)
    assert broken is not None
    assert str(broken()) == str(memory_broken("h", 100 * 1024**2, 200 * 1024**2))
    meter.cpu = 2.0
    broken = meter.broken("h", None, 1.0)
    assert broken is not None
    assert "CPU limit of 1s (used 2s)" in str(broken())


def test_an_ordinary_error_is_left_as_it_is() -> None:
    error = ValueError("x")
    assert as_exception(error, "h") is error


def test_an_error_of_a_module_that_is_not_imported_is_not_imported_for_it() -> None:
    message = error_to_message(ApplicationError("x")) | {"module": "antigravity", "name": "Fly"}
    error = error_from_message(message)
    assert isinstance(error, RemoteError)
    assert type(error).__name__ == "Fly"
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "SystemExit"), ("builtins", "dict"), ("worker.errors", "")],
)
def test_a_name_that_is_no_exception_class_makes_a_remote_error(module: str, name: str) -> None:
    error = error_from_message(
        error_to_message(ApplicationError("x")) | {"module": module, "name": name}
    )
    assert isinstance(error, RemoteError)
    assert isinstance(error, ApplicationError)
    assert str(error) == "x"


class Picky(Exception):
    def __new__(cls, one: int, two: int) -> "Picky":
        return super().__new__(cls)


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_odd_classes_come_across_as_well_as_they_can() -> None:
    picky = error_from_message(error_to_message(Picky(1, 2)))
    assert isinstance(picky, RemoteError)
    assert type(picky).__name__ == "Picky"
    unreadable = error_from_message(error_to_message(Unreadable()))
    assert isinstance(unreadable, Exception)
    assert "cannot be read" in str(unreadable)
    decode = error_from_message(error_to_message(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")))
    assert isinstance(decode, UnicodeDecodeError)
    assert described(decode).startswith("UnicodeDecodeError: 'utf-8' codec")


def test_attributes_without_a_json_form_stay_behind() -> None:
    error = BusinessError("x", code="C", data={"a": 1})
    error.handle = object()  # type: ignore[attr-defined]
    error.add_note("seen on a Monday")
    again = error_from_message(error_to_message(error))
    assert isinstance(again, BusinessError)
    assert (again.code, again.data) == ("C", {"a": 1})
    assert not hasattr(again, "handle")
    assert "seen on a Monday" in source_of(again)


def test_time_limits_come_across_with_their_stack() -> None:
    error = TimeLimitExceeded("x")
    error.stack = "  File y\n"
    again = error_from_message(error_to_message(error))
    assert isinstance(again, TimeLimitExceeded)
    assert again.stack == "  File y\n"
