"""``main.py``: what an agent starts. Pure.

It must run on any Python, even one that is too old for the worker, because its first duty is to say
so: an agent swallows a failure of pip and starts the package all the same (agent.md). So it holds
old syntax only, looks before it imports, and leaves the rest to ``worker.cli.agent``.
"""

import json
from collections.abc import Sequence
from typing import Final

MAIN: Final = "main.py"

_TEXT: Final = '''\
"""Starts openiap-worker in an OpenIAP agent. Written by `openiap-worker package build`."""
import sys

NAME = %(name)s
HANDLERS = %(handlers)s
PYTHON = (3, 11)


def stop(problem):
    sys.stderr.write("%%s cannot start: %%s\\n" %% (NAME, problem))
    sys.stderr.flush()
    sys.exit(1)


def missing():
    """Return the distributions of requirements.txt that are not there as they should be."""
    import os
    import re
    from importlib import metadata

    found = []
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "requirements.txt"), encoding="utf-8") as lines:
        for line in lines:
            match = re.match(r"\\./([^-]+)-|([A-Za-z0-9][A-Za-z0-9._-]*)", line)
            if match is None:
                continue
            name = match.group(1) or match.group(2)
            try:
                metadata.version(name)
            except metadata.PackageNotFoundError:
                found.append(name)
    return found


if sys.version_info < PYTHON:
    stop(
        "it needs Python %%d.%%d or newer, and %%s is %%d.%%d"
        %% (PYTHON + (sys.executable,) + tuple(sys.version_info[:2]))
    )
absent = missing()
if absent:
    stop(
        "%%s is not installed in %%s; see what pip said above, or run: %%s -m pip install -r"
        " requirements.txt" %% (", ".join(absent), sys.executable, sys.executable)
    )
try:
    from worker.cli.agent import main
except ImportError as error:
    stop("%%s (in %%s)" %% (error, sys.executable))

if __name__ == "__main__":
    sys.exit(main(NAME, HANDLERS))
'''


def main_py(name: str, handlers: Sequence[str]) -> bytes:
    """Return the text of ``main.py``.

    Args:
        name: the package's name; its state gets a folder of that name.
        handlers: the modules that hold the handlers.
    """
    return (_TEXT % {"name": json.dumps(name), "handlers": json.dumps(list(handlers))}).encode()
