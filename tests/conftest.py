"""How the suite is spread over processes: what hurts processes and links stays together.

The acceptance floor kills, freezes and times workers; too many of its tests at once would disturb
each other, so it has three processes, whose dear tests take about as long: none of them is left
over when all else is done. Everything else may run beside it, its examples too. A file whose tests
share something dear keeps to one process as well.

Who decides that is here and not xdist's marks of groups: pytest 9.2 does not let xdist write them
into the names of tests, and then all tests go anywhere without a word.

No example of hypothesis is judged by its time: on a busy machine that says nothing. Each run draws
60 others; what many runs would find is found in many runs.

Compiled code is written, also where the environment forbids it: else each of the hundreds of
processes that tests start would compile the whole package anew, which is half of its start. In a
fresh clone the processes of the suite share that work: all of them collect all tests at the same
time, and would each compile every file.

Ctrl-C means something to what tests start, also where the suite runs in the background of a shell,
which has all of its children ignore it.
"""

import compileall
import gc
import os
import signal
import sys
from pathlib import Path, PurePosixPath

import pytest

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from _pytest.assertion import rewrite  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402  (what pytest rewrites is kept, too)
from xdist.remote import Producer  # noqa: E402
from xdist.scheduler import LoadScopeScheduling  # noqa: E402

ACCEPTANCE = PurePosixPath("tests/acceptance")
FLOOR = {
    "test_kill_points.py": "kill points",
    "test_chaos.py": "kill points",
    "test_lost_pops.py": "kill points",
    "test_suspects.py": "kill points",
    "test_taking.py": "kill points",
    "ordered": "ordered",
    "test_autoscale.py": "ordered",
    "test_forks.py": "ordered",
    "test_soak.py": "ordered",
    "test_streams.py": "ordered",
}
"""Which process of the acceptance floor has a file or folder; the third has all others."""
CONSOLE = PurePosixPath("tests/console")
SHARING = frozenset(
    PurePosixPath("tests", file)
    for file in (
        "acceptance/examples/test_typed.py",  # a run of each type checker
        "integration/cli/package/test_run.py",  # an interpreter, and what is installed there
        "integration/openiap/native/test_files_in_pieces.py",
        "unit/app/test_cron.py",  # the steps of a year
        "unit/test_dependencies.py",  # which package is whose
        "unit/test_layout.py",  # what imports what
    )
)

settings.register_profile(
    "busy machine",
    parent=settings(),
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("busy machine")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only dear tests, or those for a browser, are asked for, leave out the files that have
    none.

    To import them and to make their tests in every process would take longer than most of those.
    """
    asked = config.option.markexpr
    if asked not in ("dear", "browser") or not collection_path.name.startswith("test_"):
        return None
    return True if asked.encode() not in collection_path.read_bytes() else None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile this process's share of what all processes are about to import."""
    gc.disable()  # collecting tests makes many objects and no garbage
    config = session.config
    if not hasattr(config, "workerinput"):
        return
    share, shares = int(config.workerinput["workerid"][2:]), config.workerinput["workercount"]
    root = config.rootpath
    for path in sorted([*root.glob("worker/**/*.py"), *root.glob("tests/**/*.py")])[share::shares]:
        if path.name == "conftest.py" or path.name.startswith("test_"):
            keep_rewritten(path, config)
        else:
            compileall.compile_file(path, quiet=2)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Look for garbage from now on, and not again and again among all the tests there are."""
    gc.freeze()
    gc.enable()


def keep_rewritten(path: Path, config: pytest.Config) -> None:
    """Write a test file's compiled form where pytest looks for it, if it is not there.

    pytest has no name for that; where a later one does it otherwise, its processes do it each.
    """
    try:
        kept = rewrite.get_cache_dir(path) / (path.stem + rewrite.PYC_TAIL)
        if rewrite._read_pyc(path, kept) is None and rewrite.try_makedirs(kept.parent):
            source, code = rewrite._rewrite_test(path, config)
            rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, source, kept)
    except (AttributeError, TypeError, ValueError, KeyError):
        return


class Scheduling(LoadScopeScheduling):
    """Gives one test after the other to whichever process is free, but some to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        """Return what is the same for tests that stay together."""
        path = PurePosixPath(nodeid.partition("::")[0])
        if path.is_relative_to(CONSOLE):  # one server, one console, one browser
            return "console"
        if path in SHARING:
            return str(path)
        if path.is_relative_to(ACCEPTANCE) and not path.is_relative_to(ACCEPTANCE / "examples"):
            return FLOOR.get(path.relative_to(ACCEPTANCE).parts[0], "acceptance")
        return nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Spread tests by the rules of this file.

    Raises:
        pytest.UsageError: a file that is named here has another name now.
    """
    named = sorted({*SHARING, *(ACCEPTANCE / name for name in FLOOR)})
    gone = [str(path) for path in named if not (config.rootpath / path).exists()]
    if gone:
        raise pytest.UsageError(f"tests/conftest.py names {', '.join(gone)}: no such file")
    return Scheduling(config, log)
