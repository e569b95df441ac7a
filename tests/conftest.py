"""How the suite is spread over processes: what hurts processes and links stays together.

The acceptance floor kills, freezes and times workers; too many of its tests at once would disturb
each other, so it has three processes: one for keys, schedules and unique pushes, one for the matrix
of kill points, one for the rest. Everything else may run beside it, its examples too. A file whose
tests share something dear keeps to one process as well.

Who decides that is here and not xdist's marks of groups: pytest 9.2 does not let xdist write them
into the names of tests, and then all tests go anywhere without a word.

No example of hypothesis is judged by its time: on a busy machine that says nothing.

Compiled code is written, also where the environment forbids it: else each of the hundreds of
processes that tests start would compile the whole package anew, which is half of its start.
"""

import os
import sys
from pathlib import PurePosixPath

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ACCEPTANCE = PurePosixPath("tests/acceptance")
SHARING = frozenset(
    PurePosixPath("tests", file)
    for file in (
        "integration/cli/package/test_run.py",  # an interpreter, and what is installed there
        "integration/cli/test_doctor.py",  # a server in a process of its own, as the next ones
        "integration/cli/test_queues_and_items.py",
        "integration/cli/test_run.py",
        "integration/cli/test_schedules.py",
        "integration/openiap/native/test_files_in_pieces.py",
        "unit/app/test_cron.py",  # the steps of a year
    )
)

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile(
    "busy machine",
    parent=settings(),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("busy machine")


class Scheduling(LoadScopeScheduling):
    """Gives one test after the other to whichever process is free, but some to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        """Return what is the same for tests that stay together."""
        path = PurePosixPath(nodeid.partition("::")[0])
        if path in SHARING or path.name == "test_kill_points.py":
            return str(path)
        if path.is_relative_to(ACCEPTANCE / "ordered"):
            return "ordered"
        if path.parent == ACCEPTANCE:
            return "acceptance"
        return nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Spread tests by the rules of this file.

    Raises:
        pytest.UsageError: a file that is named here has another name now.
    """
    gone = [str(path) for path in sorted(SHARING) if not (config.rootpath / path).exists()]
    if gone:
        raise pytest.UsageError(f"tests/conftest.py names {', '.join(gone)}: no such file")
    return Scheduling(config, log)
