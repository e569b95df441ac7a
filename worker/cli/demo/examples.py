"""Where the example handlers are: in the repository, or inside the installed wheel."""

from collections.abc import Sequence
from pathlib import Path

from worker.cli.shared.errors import CommandError
from worker.package_path import PACKAGE


def examples(names: Sequence[str], *, package: Path = PACKAGE) -> tuple[Path, list[str]]:
    """Return the folder to import from, and the modules' full names.

    Beside the package of a clone is the folder ``handlers``; a wheel carries its content as
    ``worker.examples``.

    Args:
        names: modules without their package, for example ``["chain"]``.
        package: the folder of this package.

    Raises:
        CommandError: they are in neither place.
    """
    beside = package.parent / "handlers"
    for folder, prefix in (
        (beside, "handlers"),
        (package / "examples", f"{package.name}.examples"),
    ):
        if all((folder / f"{name}.py").is_file() for name in names):
            return package.parent, [f"{prefix}.{name}" for name in names]
    raise CommandError(
        f"The example handlers are neither in {beside} nor in {package / 'examples'};"
        " install the package again."
    )
