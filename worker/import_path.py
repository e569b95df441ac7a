"""Where users' folders stand on Python's path: behind Python's own modules.

A user's ``queue.py`` must not be taken for Python's. Nothing is imported here that is not loaded
when Python starts: what such a file could be taken for is still to come.
"""

import os
import sys

PYTHONS_OWN = os.path.dirname(os.__file__)
"""The folder of Python's own modules."""


def behind_pythons_own() -> int:
    """Return the place on the path at which users' folders begin."""
    own = (PYTHONS_OWN, os.path.join(PYTHONS_OWN, "lib-dynload"))
    return max((number for number, entry in enumerate(sys.path) if entry in own), default=-1) + 1


def path_for_children(root: str) -> list[str]:
    """Return the path with which another interpreter begins that is to run the worker's code.

    Args:
        root: from where the worker's own package is imported.
    """
    path = [entry for entry in sys.path if entry != root]
    path.insert(behind_pythons_own() - (root in sys.path[: behind_pythons_own()]), root)
    return path


def step_back() -> None:
    """Move the working directory there, which ``python -m`` puts in front of everything."""
    first = sys.path[0] if sys.path else None
    if first is not None and not sys.flags.safe_path and behind_pythons_own():
        sys.path.insert(behind_pythons_own() - 1, sys.path.pop(0))
