"""What was to be raised in a thread and is taken back leaves nothing behind."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from worker.engine.execution.stopping import raise_in, take_back

PROGRAM = """
import faulthandler, sys
from worker.engine.execution.stopping import take_back
faulthandler.dump_traceback_later(20, exit=True)
take_back()
sys.setprofile(lambda *event: None)
(lambda: None)()
sys.setprofile(None)
"""


class Stop(BaseException):
    pass


def stop_this_thread() -> None:
    raise_in(threading.get_ident(), Stop)
    for _ in range(1000):
        pass


def test_a_thread_can_be_profiled_after_a_stop_was_taken_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_stop_strikes_unless_it_is_taken_back() -> None:
    with pytest.raises(Stop):
        stop_this_thread()
    take_back()
    take_back()
