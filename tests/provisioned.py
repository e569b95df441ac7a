"""A fresh Python that has what the worker requires, as it is installed here, and not the worker.

pip finds all that there and installs what is left: the worker, or what brings it along. To fetch
and unpack the rest takes ten times as long; whether a registry has it is held where it is installed
from there: by the README's first step, the wheel, the image, and the image of a new project.
``python -m tests.provisioned FOLDER`` makes one for a script.
"""

import os
import shutil
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

WORKER = "openiap-worker"
SCRIPT = "#!{python}\nimport sys\n\nfrom {module} import {name}\n\nsys.exit({called}())\n"


def provisioned(folder: Path, *more: str, editable: bool = False) -> Path:
    """Make a Python of its own that has the worker's requirements and pip; return its program.

    Args:
        folder: where; it is not there yet.
        more: distributions that it has, too, with what these require.
        editable: it has the worker as well, the way that it is installed here: from the clone.

    Raises:
        metadata.PackageNotFoundError: something of that is not installed here.
    """
    venv.create(folder, with_pip=False, symlinks=sys.platform != "win32")
    paths = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
    python = Path(paths["scripts"], Path(sys.executable).name)
    found = _with_requirements([WORKER, "pip", *more])
    if not editable:
        del found[WORKER]
    sources: dict[str, Path] = {}
    for one in found.values():
        tops = {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}
        sources |= {top: Path(str(one.locate_file(top))) for top in tops}
        for command in one.entry_points.select(group="console_scripts"):
            script = Path(paths["scripts"], command.name)
            name = command.attr.partition(".")[0]
            script.write_text(
                SCRIPT.format(python=python, module=command.module, name=name, called=command.attr)
            )
            script.chmod(0o755)
    for top, source in sources.items():
        target = Path(paths["purelib"], top)
        if source.is_dir():
            shutil.copytree(source, target, copy_function=_link)
        else:
            _link(source, target)
    return python


def _with_requirements(names: list[str]) -> dict[str, metadata.Distribution]:
    """Return what is installed of these names and of all that they require."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[str] = set()
    left = [Requirement(name) for name in names]
    while left:
        wanted = left.pop()
        if f"{wanted.name} {sorted(wanted.extras)}" in seen:
            continue
        seen.add(f"{wanted.name} {sorted(wanted.extras)}")
        one = found[wanted.name] = metadata.distribution(wanted.name)
        for required in map(Requirement, one.requires or ()):
            extras = ("", *wanted.extras)
            if not required.marker or any(required.marker.evaluate({"extra": e}) for e in extras):
                left.append(required)
    return found


def _link(source: str | Path, target: str | Path) -> None:
    """Make a name for the same file, which pip may take away again; else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


if __name__ == "__main__":
    provisioned(Path(sys.argv[1]))
