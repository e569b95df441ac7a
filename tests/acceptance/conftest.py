"""The acceptance floor's modules import each other by their full names.

They freeze and kill processes with POSIX signals and limits, so there is nothing to collect on
Windows. A test there takes ten to thirty seconds, and ten times that on a machine that is busy with
something else: its time limit is for what hangs.
"""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIMIT = 600
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this floor the same limit, unless they name their own."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT))
