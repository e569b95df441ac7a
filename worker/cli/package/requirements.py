"""``requirements.txt``: every distribution pinned, for the machine that agents run on. Pure.

An agent installs a package's requirements when it first sees it, which may be months after the
build. Whatever is not pinned is another version then. So the project's own requirements and
everything below them are pinned to what is installed where the package is built (and was tested).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from worker.cli.package.errors import PackageError

DISTRIBUTION: Final = "openiap-worker"

AGENT: Final[Mapping[str, str]] = {
    "implementation_name": "cpython",
    "implementation_version": "3.11.2",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.11.2",
    "python_version": "3.11",
    "sys_platform": "linux",
    "extra": "",
}
"""OpenIAP's Docker agents: Debian 12 with Python 3.11 (agent.md)."""

HEADER: Final = (
    "# Written by `openiap-worker package build`. The agent installs this with pip into its own\n"
    "# interpreter, once per version of the package.\n"
)


@dataclass(frozen=True, slots=True)
class Installed:
    """A distribution as it is installed here."""

    version: str
    requires: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Pins:
    """The requirements to ship.

    Attributes:
        text: the content of ``requirements.txt``.
        notes: what could not be pinned, as sentences.
    """

    text: str
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Closure:
    look_up: Callable[[str], Installed | None]
    pins: dict[str, str] = field(default_factory=dict)
    loose: dict[str, str] = field(default_factory=dict)
    extras: dict[str, set[str]] = field(default_factory=dict)


def pinned(
    lines: Iterable[str],
    look_up: Callable[[str], Installed | None],
    *,
    wheel: str = "",
) -> Pins:
    """Return pins for the project's requirements, openiap-worker's, and all that they need.

    Args:
        lines: the project's ``requirements.txt`` or ``dependencies``.
        look_up: finds an installed distribution by its normalized name.
        wheel: the name of an openiap-worker wheel that lies in the package; it is then installed
            from there instead of the registry.

    Raises:
        PackageError: a line that is no requirement, points at a local path, or is neither pinned
            nor installed.
    """
    wanted, kept = _read(lines)
    closure = _Closure(look_up)
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        if name == DISTRIBUTION:
            continue
        if requirement.url:
            kept.append(str(requirement))
            continue
        if look_up(name) is None and _exact(requirement) is None and _applies(requirement.marker):
            raise PackageError(
                f"{requirement.name} is neither pinned in the project's requirements nor installed"
                f" here; install it, or write {requirement.name}==VERSION."
            )
        _add(requirement, closure)
    own = look_up(DISTRIBUTION)
    if own is None:
        raise PackageError("openiap-worker itself is not installed here as a distribution.")
    for text in own.requires:
        _add(Requirement(text), closure)
    first = f"./{wheel}" if wheel else f"{DISTRIBUTION}=={own.version}"
    rest = sorted([f"{name}=={version}" for name, version in closure.pins.items()])
    loose = sorted(closure.loose.values())
    text = HEADER + "\n".join([first, *rest, *loose, *sorted(kept)]) + "\n"
    notes = tuple(
        f"{entry} is not installed here, so it could not be pinned to what was tested."
        for entry in loose
    )
    return Pins(text, notes)


def _read(lines: Iterable[str]) -> tuple[list[Requirement], list[str]]:
    """Return the requirements and the options for pip that are kept as they are."""
    wanted: list[Requirement] = []
    kept: list[str] = []
    for line in lines:
        text = line.partition(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith(("--index-url", "--extra-index-url", "--find-links", "-i ", "-f ")):
            raise PackageError(
                f"requirements: {text.split()[0]} can carry credentials and does not go into a"
                " package; set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL in the agent's environment."
            )
        if text.startswith(("-", ".", "/")) or "--hash" in text:
            raise PackageError(
                f"requirements: {text!r} cannot be shipped; name a distribution and its version."
            )
        try:
            wanted.append(Requirement(text))
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            raise PackageError(f"requirements: {text!r} is no requirement: {reason}.") from error
    return wanted, kept


def _add(requirement: Requirement, closure: _Closure, extra: str = "") -> None:
    if not _applies(requirement.marker, extra):
        return
    name = str(canonicalize_name(requirement.name))
    exact = _exact(requirement)
    found = closure.look_up(name)
    if found is None or (exact is not None and exact != found.version):
        # What is below a version that is not here is unknown: pip will find it.
        if exact is not None:
            closure.pins[name] = exact
        elif name not in closure.pins:
            bare = Requirement(str(requirement))
            bare.marker = None
            closure.loose[name] = str(bare)
        return
    known = closure.extras.setdefault(name, set())
    new = ({""} | set(requirement.extras)) - known
    known |= new
    closure.pins.setdefault(name, found.version)
    closure.loose.pop(name, None)
    for one in sorted(new):
        for text in found.requires:
            _add(Requirement(text), closure, one)


def _exact(requirement: Requirement) -> str | None:
    """Return the one version that a requirement allows, or None."""
    found = [s for s in requirement.specifier if s.operator in ("==", "===")]
    if len(found) == 1 and "*" not in found[0].version:
        return found[0].version
    return None


def _applies(marker: Marker | None, extra: str = "") -> bool:
    return marker is None or marker.evaluate({**AGENT, "extra": extra})
