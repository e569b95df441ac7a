"""Standard streams are open from the start, and are put back when code of others closes them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CLOSED = """
import os, sys
from worker.standard_streams import open_standard_streams
open_standard_streams()
first = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
print("out"); print("err", file=sys.stderr)
sys.stdout.flush()
os.system("echo from a program; echo and its errors 1>&2")
os.write(first, f"{first} {sys.stdin.read()!r}".encode())
"""

CLOSES = """
import os, sys
from worker.standard_streams import keep_standard_streams, mend_standard_streams
keep_standard_streams()
assert not mend_standard_streams()
exec(sys.argv[1])
assert mend_standard_streams() and not mend_standard_streams()
print("out", flush=True); print("err", file=sys.stderr)
os.system("echo from a program; echo and its errors 1>&2")
assert os.open(os.devnull, os.O_RDONLY) > 2
"""

MEANT = """
import os, sys
from worker.standard_streams import keep_standard_streams, mend_standard_streams
assert not mend_standard_streams()  # nobody has asked for it
os.close(0)
assert not mend_standard_streams()
keep_standard_streams()
os.close(1)
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
assert file == 1 and not mend_standard_streams()
os.write(1, b"meant")
"""

FORKED = """
import os, sys
from worker.standard_streams import keep_standard_streams
keep_standard_streams()
if os.fork() == 0:
    os.closerange(0, 3)  # as a daemon does
    os.setsid()
    import time
    time.sleep(60)
"""


def run(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it with this project's code."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


@pytest.mark.parametrize(
    "closing",
    ["os.closerange(0, 3)", "os.close(2)", "os.close(1)", "sys.stderr.close(); sys.stdout.close()"],
)
def test_what_is_closed_is_put_back_where_it_led(closing: str) -> None:
    done = run(CLOSES, closing)
    assert (done.returncode, done.stderr) == (0, "err\nand its errors\n")
    assert done.stdout == "out\nfrom a program\n"


def test_what_leads_elsewhere_by_intent_stays_and_programs_that_ask_for_nothing_are_left_alone(
    tmp_path: Path,
) -> None:
    done = run(MEANT, str(tmp_path / "file"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "file").read_text() == "meant"


def test_a_forked_child_that_closes_its_streams_holds_none_of_the_parents() -> None:
    """Whoever reads the parent's output would wait for the child as well."""
    assert run(FORKED).returncode == 0


def test_closed_standard_descriptors_are_not_given_to_what_is_opened_next(tmp_path: Path) -> None:
    kept = tmp_path / "kept"

    def close_all() -> None:
        for number in (0, 1, 2):
            os.close(number)

    ended = subprocess.run(
        [sys.executable, "-c", CLOSED, str(kept)],
        preexec_fn=close_all,
        close_fds=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert ended.returncode == 0
    number, _, rest = kept.read_text().partition(" ")
    assert int(number) > 2
    assert rest == "''"
