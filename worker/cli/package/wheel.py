"""Wheels of what is installed here, made from its own files: without a registry or a build tool.

1. Says whether openiap-worker came from a registry, which has that version for others as well, or
   from a clone, whose wheel has to travel along.
2. Makes that wheel. It holds what a build of the clone would hold; its version says by a label what
   is in it (``0.1.0+clone1a2b3c4d5e6f``), since an agent keeps its interpreter from one package to
   the next, and pip leaves alone what has the same version already.
3. Makes the wheel of any other distribution from its ``RECORD``, to install from without a network.
"""

import base64
import csv
import hashlib
import io
import json
import re
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from worker.cli.package.errors import PackageError
from worker.cli.package.ignore import ignored, parse
from worker.cli.package.requirements import DISTRIBUTION
from worker.cli.shared.paths import shown

# What an installer leaves beside the files of a wheel: it says how they came here.
_INSTALLERS: Final = frozenset(
    {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json"}
)
_VERSION: Final = re.compile(rb"^Version: .*$", re.MULTILINE)
_TAG: Final = re.compile(r"^Tag: (\S+)", re.MULTILINE)
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel, whole in memory.

    Attributes:
        name: its file's name, which installers read.
        content: the file.
        came_from: where the distribution was installed from: a folder or a URL; "" for a registry.
    """

    name: str
    content: bytes
    came_from: str = ""

    @property
    def told(self) -> str:
        """The sentence that says what is shipped, and why."""
        return (
            f"{DISTRIBUTION} is installed from {self.came_from} and not from a registry, so its own"
            f" wheel is shipped: {self.name} ({len(self.content):,} bytes)."
        )


def own_wheel() -> Wheel | None:
    """Return openiap-worker's own wheel, or None when it came from a registry.

    Raises:
        PackageError: it is not installed as a distribution, or its files are not all there.
    """
    found = _distribution(DISTRIBUTION)
    if found is None:
        raise PackageError(f"{DISTRIBUTION} itself is not installed here as a distribution.")
    came_from, editable = _origin(found)
    if not came_from:
        return None
    files = _recorded(found)
    if editable:
        # What lies in the clone, and from the installation only what describes it.
        info = _info_folder(found)
        files = {path: content for path, content in files.items() if path.startswith(f"{info}/")}
        files |= _sources(Path(came_from))
    version = found.version if "+" in found.version else f"{found.version}+{_label(files)}"
    return _wheel(found, files, version, came_from=shown(came_from))


def installed_wheel(name: str) -> Wheel | None:
    """Return the wheel of a distribution as it is installed here, or None when it is not.

    Raises:
        PackageError: its files are not all there.
    """
    if name == DISTRIBUTION and (own := own_wheel()) is not None:
        return own
    found = _distribution(name)
    if found is None:
        return None
    # It is unpacked at once, on this machine: squeezing it would take longer than it saves.
    return _wheel(found, _recorded(found), found.version, squeeze=False)


def save(wheel: Wheel, folder: Path) -> Path:
    """Put a wheel into a folder; returns its path.

    Raises:
        PackageError: the folder cannot be written.
    """
    target = folder / wheel.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes(wheel.content)
    except OSError as error:
        raise PackageError(
            f"{shown(target)} cannot be written: {error.strerror or error}."
        ) from error
    return target


def packed(files: Mapping[str, bytes], info: str, *, squeeze: bool = True) -> bytes:
    """Return the bytes of a wheel: the same files give the same bytes. Pure.

    Args:
        files: content by path, without ``RECORD``.
        info: the name of the folder that describes it, ``NAME-VERSION.dist-info``.
        squeeze: compress.
    """
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    raw = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if squeeze else zipfile.ZIP_STORED
    with zipfile.ZipFile(raw, "w", method) as made:
        for path in sorted(files, key=lambda path: (path.startswith(f"{info}/"), path)):
            content = files[path]
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            rows.writerow((path, f"sha256={digest}", len(content)))
            made.writestr(_entry(path, method), content)
        rows.writerow((f"{info}/RECORD", "", ""))
        made.writestr(_entry(f"{info}/RECORD", method), record.getvalue().encode())
    return raw.getvalue()


def _entry(path: str, method: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, _DATE)
    entry.compress_type = method
    entry.external_attr = 0o644 << 16
    return entry


def _wheel(
    found: metadata.Distribution,
    files: Mapping[str, bytes],
    version: str,
    *,
    came_from: str = "",
    squeeze: bool = True,
) -> Wheel:
    """Put a wheel together under its version, which may be another one than the installed."""
    old = _info_folder(found)
    stem = f"{old.removesuffix('.dist-info').rpartition('-')[0]}-{version}"
    info = f"{stem}.dist-info"
    moved = {
        f"{info}/{path.removeprefix(f'{old}/')}" if path.startswith(f"{old}/") else path: content
        for path, content in files.items()
    }
    described = moved.get(f"{info}/METADATA")
    tags = _TAG.findall(moved.get(f"{info}/WHEEL", b"").decode("utf-8", "replace"))
    if described is None or not tags:
        raise PackageError(
            f"{found.name} is not installed as a wheel is, so none can be made of it; install it"
            " again with pip."
        )
    moved[f"{info}/METADATA"] = _VERSION.sub(f"Version: {version}".encode(), described, count=1)
    return Wheel(f"{stem}-{_joined(tags)}.whl", packed(moved, info, squeeze=squeeze), came_from)


def _joined(tags: list[str]) -> str:
    """Return tags as a file's name has them: the values of each of the three parts once."""
    parts = zip(*(tag.split("-") for tag in tags), strict=True)
    return "-".join(".".join(dict.fromkeys(part)) for part in parts)


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _origin(found: metadata.Distribution) -> tuple[str, bool]:
    """Return the folder or URL that it was installed from, "" for a registry; and if editable."""
    try:
        said = json.loads(found.read_text("direct_url.json") or "{}")
        url, folder = str(said.get("url", "")), said.get("dir_info")
    except (ValueError, AttributeError) as error:
        raise PackageError(
            f"{DISTRIBUTION}: direct_url.json of its installation is not readable: {error}."
        ) from error
    if not url:
        # Installed from a wheel of this kind, by its name: no registry has a version with a label.
        return ("a wheel of a clone" if "+" in found.version else ""), False
    parts = urlsplit(url)
    if parts.scheme == "file":
        return url2pathname(parts.path), bool(folder and folder.get("editable"))
    # Never with whoever's credentials it was fetched.
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}", False


def _info_folder(found: metadata.Distribution) -> str:
    for path in found.files or ():
        if path.name == "METADATA" and path.parent.name.endswith(".dist-info"):
            return path.parent.name
    raise PackageError(
        f"{found.name} has no list of its files (RECORD) here, so no wheel can be made of it;"
        " install it again with pip."
    )


def _recorded(found: metadata.Distribution) -> dict[str, bytes]:
    """Return the files that were installed, without what the installer made itself."""
    info = _info_folder(found)
    files: dict[str, bytes] = {}
    for path in found.files or ():
        where = PurePosixPath(path.as_posix())
        made_here = where.parent.name == info and where.name in _INSTALLERS
        if ".." in where.parts or where.is_absolute() or made_here or where.suffix == ".pyc":
            continue
        try:
            files[str(where)] = Path(str(found.locate_file(path))).read_bytes()
        except OSError as error:
            raise PackageError(
                f"{found.name}: {where} of its installation: {error.strerror or error}; install it"
                " again with pip."
            ) from error
    return files


def _sources(clone: Path) -> dict[str, bytes]:
    """Return what a build would take out of a clone, as its pyproject.toml says.

    Raises:
        PackageError: it is not there any more, or not readable.
    """
    try:
        project = tomllib.loads((clone / "pyproject.toml").read_text(encoding="utf-8"))
        wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
        places = {str(name): str(name) for name in wheel["packages"]} | wheel["force-include"]
        rules_file = clone / ".gitignore"
        rules = parse(rules_file.read_text(encoding="utf-8") if rules_file.is_file() else "")
        files: dict[str, bytes] = {}
        for source, target in sorted(places.items()):
            for path in _below(clone / source):
                relative = path.relative_to(clone).as_posix()
                if "__pycache__" in path.parts or ignored(relative, rules):
                    continue
                files[target + relative.removeprefix(source)] = path.read_bytes()
    except (OSError, ValueError, LookupError, TypeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or repr(error)
        raise PackageError(
            f"{DISTRIBUTION} is installed from {shown(clone)}, and its files cannot be had from"
            f" there: {why}. Give a wheel with --wheel FILE, or install it again."
        ) from error
    return files


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that is there.

    Raises:
        OSError: it is not.
    """
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            yield from _below(entry)
        else:
            yield entry


def _label(files: Mapping[str, bytes]) -> str:
    """Return what says in a version which files these are; letters first, for no number has zeros
    in front of it in a version."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(hashlib.sha256(path.encode()).digest())
        total.update(hashlib.sha256(files[path]).digest())
    return f"clone{total.hexdigest()[:_DIGITS]}"
