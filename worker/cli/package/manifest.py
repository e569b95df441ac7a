"""What a package says of itself: ``package.json``, and its document in ``agents``. Pure.

The keys are those that have an effect on an agent (agent.md, The package). ``scripts`` is left out:
a ``scripts.start`` would win over ``main`` and skip the Python set-up.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.cli.package.errors import PackageError

PACKAGE_JSON: Final = "package.json"
LANGUAGE: Final = "python"
MAX_NAME: Final = 214
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A package's own facts.

    Attributes:
        name: lower case; the file name and the document's ``id``.
        version: three numbers, with a suffix if need be: ``1.2.0``, ``1.2.0-rc.1``.
        main: the file that the agent starts, relative to the root.
        chrome, chromium: whether only agents with that browser may run it.
    """

    name: str
    version: str
    description: str = ""
    author: str = ""
    main: str = "main.py"
    chrome: bool = False
    chromium: bool = False

    @property
    def archive_name(self) -> str:
        """The archive's file name."""
        return f"{self.name}-{self.version}.tgz"


def checked(manifest: Manifest) -> Manifest:
    """Return the manifest when agents and file systems can live with it.

    Raises:
        PackageError: the name, the version or the main file cannot be used.
    """
    if not _NAME.fullmatch(manifest.name) or len(manifest.name) > MAX_NAME:
        raise PackageError(
            f"The package name {manifest.name!r} cannot be used: lower case letters, digits,"
            f" '.', '_' and '-', {MAX_NAME} characters at most; give another with --name."
        )
    if not _VERSION.fullmatch(manifest.version):
        raise PackageError(
            f"The version {manifest.version!r} cannot be used: three numbers such as 1.0.0 are"
            " needed; set version in pyproject.toml or package.json, or give --version."
        )
    if not manifest.main.endswith(".py") or manifest.main.startswith(("/", "../")):
        raise PackageError(
            f"The main file {manifest.main!r} cannot be used: it must be a .py file of the package."
        )
    return manifest


def package_json(manifest: Manifest) -> bytes:
    """Return the text of ``package.json``; the same manifest gives the same bytes."""
    content = {
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "main": manifest.main,
        "author": manifest.author,
        "openiap": _openiap(manifest),
    }
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def read_package_json(text: bytes, *, origin: str = PACKAGE_JSON) -> Manifest:
    """Return what a ``package.json`` says.

    Args:
        origin: what to call it in an error.

    Raises:
        PackageError: it is no JSON object, it lacks name, version or main, or an agent would not
            run it as Python.
    """
    content = parse_object(text, origin)
    for key in ("name", "version", "main"):
        if not isinstance(content.get(key), str) or not content[key]:
            raise PackageError(f'{origin} has no "{key}": an agent would start nothing.')
    openiap = content.get("openiap")
    facts = openiap if isinstance(openiap, dict) else {}
    if facts.get("language") != LANGUAGE:
        raise PackageError(f'{origin} does not say "openiap": {{"language": "python"}}.')
    scripts = content.get("scripts")
    if isinstance(scripts, dict) and "start" in scripts:
        raise PackageError(
            f"{origin} has scripts.start: an agent would run that instead of main and install no"
            " requirements; take it out."
        )
    return Manifest(
        name=content["name"],
        version=content["version"],
        description=_text(content, "description"),
        author=author_of(content.get("author")),
        main=content["main"],
        chrome=bool(facts.get("chrome")),
        chromium=bool(facts.get("chromium")),
    )


def agents_document(manifest: Manifest, fileid: str) -> dict[str, Any]:
    """Return the document in ``agents``; ``id`` is what it is looked up by (agent.md)."""
    return {
        "_type": "package",
        "id": manifest.name,
        "name": manifest.name,
        "description": manifest.description,
        "version": manifest.version,
        "fileid": fileid,
        "language": LANGUAGE,
        "daemon": True,
        "chrome": manifest.chrome,
        "chromium": manifest.chromium,
        "ports": [],
        "main": manifest.main,
        "author": manifest.author,
        "openiap": _openiap(manifest),
    }


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return which of the document's own keys but ``fileid`` change, with old and new value."""
    return {
        key: (old.get(key), value)
        for key, value in new.items()
        if key != "fileid" and old.get(key) != value
    }


def parse_object(text: bytes, origin: str) -> dict[str, Any]:
    """Return the JSON object in ``text``.

    Raises:
        PackageError: it is something else.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{origin} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise PackageError(f"{origin} is not a JSON object.")
    return content


def author_of(value: object) -> str:
    """Return an author given as text or, as npm allows, as ``{"name": …}``."""
    if isinstance(value, dict):
        value = value.get("name")
    return value if isinstance(value, str) else ""


def _text(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key)
    return value if isinstance(value, str) else ""


def _openiap(manifest: Manifest) -> dict[str, Any]:
    # Ports are said to be none: tools add port 3000 to a package that says nothing.
    return {
        "language": LANGUAGE,
        "daemon": True,
        "chrome": manifest.chrome,
        "chromium": manifest.chromium,
        "ports": [],
    }
