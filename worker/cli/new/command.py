"""``new``: a project to start from."""

from pathlib import Path
from typing import Annotated

import typer

from worker._version import __version__
from worker.cli.shared.errors import CommandError, usage_error
from worker.cli.shared.options import AsJson
from worker.cli.shared.output import print_json, safe, to_stdout


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The project's name, and its folder's.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make a project that runs: handlers, settings, tests, a Dockerfile.

    It is made in a new folder NAME of the working directory; nothing that is there is touched.
    """
    # Here and not above: no other command needs it.
    from worker.cli.new import NameRefused, make_project
    from worker.cli.package.wheel import own_wheel

    parent = Path.cwd()
    wheel = own_wheel()
    try:
        shipped = (wheel.name, wheel.content) if wheel else None
        project = make_project(name, parent, version=__version__, wheel=shipped)
    except NameRefused as error:
        raise usage_error(str(error)) from error
    except OSError as error:
        raise CommandError(
            f"{parent / name} cannot be written: {error.strerror or error}. Nothing is left of it."
        ) from error
    if as_json:
        folder, files = str(project.folder), list(project.files)
        print_json({"name": name, "package": project.package, "folder": folder, "files": files})
        return
    console = to_stdout()
    console.print(safe(f"Made {name}/"), style="bold green")
    for file in project.files:
        console.print(safe(f"  {file}"), style="dim")
    if wheel is not None:
        console.print(safe(f"\n{wheel.told}"), soft_wrap=True)
    console.print("\nIn a virtual environment:")
    found = "--find-links wheels " if wheel else ""
    for line in (f"cd {name}", f'pip install {found}-e ".[test]" && pytest', "openiap-worker dev"):
        console.print(safe(f"  {line}"), style="bold")
