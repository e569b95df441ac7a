"""How the suite is spread over processes: what hurts processes and links stays together.

The acceptance floor kills, freezes and times workers; too many of its tests at once would disturb
each other, so it has two processes: one for keys, schedules and unique pushes, one for the rest.
Everything else may run beside it, its examples too. A file whose tests share a server in a process
of its own keeps to one process; so does one that shares something else, by a mark of its own.

No example of hypothesis is judged by its time: on a busy machine that says nothing.

Compiled code is written, also where the environment forbids it: else each of the hundreds of
processes that tests start would compile the whole package anew, which is half of its start.
"""

import os
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ACCEPTANCE = Path(__file__).parent / "acceptance"
ORDERED = ACCEPTANCE / "ordered"
EXAMPLES = ACCEPTANCE / "examples"
SHARED = frozenset({"server_url", "apart"})
"""Fixtures that start a server for all tests of a file."""

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile(
    "busy machine",
    parent=settings(),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("busy machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the acceptance floor in its two processes, and together what shares a server."""
    for item in items:
        if isinstance(item, pytest.Function) and not SHARED.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        elif floor := _floor(item.path.parent):
            item.add_marker(pytest.mark.xdist_group(floor))


@cache
def _floor(folder: Path) -> str:
    """Return the process that tests of a folder have to themselves; "" for any."""
    if folder.is_relative_to(ORDERED):
        return "ordered"
    if folder.is_relative_to(ACCEPTANCE) and not folder.is_relative_to(EXAMPLES):
        return "acceptance"
    return ""
