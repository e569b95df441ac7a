"""Installing a package's requirements without a registry: from what is installed here."""

from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from worker.cli.package.errors import PackageError
from worker.cli.package.wheel import installed_wheel, save


def save_wheels(requirements: str, folder: Path) -> None:
    """Put wheels of all that a ``requirements.txt`` names into a folder.

    Args:
        requirements: its text, as ``package build`` wrote it; a wheel that lies in the package is
            not looked for.

    Raises:
        PackageError: something is not installed here, or in another version; the text names all.
    """
    missing = []
    for wanted in _named(requirements):
        name = canonicalize_name(wanted.name)
        wheel = installed_wheel(str(name))
        if wheel is None:
            missing.append(f"{wanted} (not installed here)")
            continue
        version = wheel.name.split("-")[1]
        if not wanted.specifier.contains(version, prereleases=True):
            missing.append(f"{wanted} ({version} is installed here)")
            continue
        save(wheel, folder)
    if missing:
        raise PackageError(
            "--offline installs what is installed here, and the package needs besides"
            f" {', '.join(missing)}. Install that, or run it without --offline."
        )


def _named(requirements: str) -> list[Requirement]:
    found = []
    for line in requirements.splitlines():
        text = line.partition(" #")[0].strip()
        if not text or text.startswith(("#", "-", ".", "/")):
            continue
        try:
            found.append(Requirement(text))
        except InvalidRequirement:  # pip has more to say about it
            continue
    return found
