"""The acceptance floor's modules import each other by their full names.

They freeze and kill processes with POSIX signals and limits, so there is nothing to collect on
Windows.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []
