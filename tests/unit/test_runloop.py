"""The loop of long runs: its result, and a collector that does not look at what was loaded."""

import subprocess
import sys

PROGRAM = """
import asyncio, gc
from worker.runloop import run_long

async def work():
    loop = type(asyncio.get_running_loop()).__module__
    return loop, gc.get_freeze_count() > 10_000, gc.get_threshold()[0]

print(*run_long(work()))
"""


def test_a_long_run_leaves_what_was_loaded_alone() -> None:
    # In a process of its own: it changes the whole of it.
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    loop, frozen, threshold = ran.stdout.split()
    assert loop == ("asyncio.windows_events" if sys.platform == "win32" else "uvloop")
    assert (frozen, threshold) == ("True", "50000")
