"""Where this package lies: its folder, the folder to import it from, and how its own frames begin.

One place, since a file that reckons them from its own path reckons wrongly once it moves, and then
the worker's own frames stand in users' tracebacks.
"""

import os
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parent
"""The folder of the package."""

IMPORT_ROOT: Final = PACKAGE.parent
"""What a fresh interpreter puts on its path to import it."""

OWN_CODE: Final = str(PACKAGE) + os.sep
"""How the file names of the worker's own code begin."""

FILES_BY_PATH: Final = f"{PACKAGE.name}.app.by_path."
"""How the names of users' modules begin that are imported by their path (``app/by_path.py``)."""
