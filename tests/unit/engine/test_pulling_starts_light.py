"""A program that takes nothing does not pay for the engine."""

import subprocess
import sys


def test_the_engine_is_not_imported_before_something_is_taken() -> None:
    code = (
        "import sys\n"
        "from worker import NoItem, TakenItem, connect, sync\n"
        "sync.connect(url='ws://127.0.0.1:1', username='a', password='b')\n"
        "assert 'worker.engine.daemon' not in sys.modules\n"
        "assert 'worker.app.decorator' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=110)
