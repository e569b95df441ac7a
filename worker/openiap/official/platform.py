"""Where the official library lies, and what the environment must say before it loads.

The package's own loader prints a line on stdout and takes a static archive for a library on Alpine;
so the file is found here, without importing the package.
"""

import os
import platform
import sys
import sysconfig
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Final

from worker.openiap.errors import Unsupported

DISTRIBUTION: Final = "openiap-edge"
VERSION: Final = "0.0.38"
INSTEAD: Final = 'use the native client (client = "native")'

# Read by the library itself, at every connect and reconnect (client.md, Environment).
CREDENTIALS: Final = ("OPENIAP_USERNAME", "OPENIAP_PASSWORD", "OPENIAP_JWT", "jwt")

_FILES: Final[Mapping[tuple[str, str], str]] = {
    ("linux", "x86_64"): "libopeniap-linux-x64.so",
    ("linux", "aarch64"): "libopeniap-linux-arm64.so",
    ("darwin", "x86_64"): "libopeniap-macos-x64.dylib",
    ("darwin", "arm64"): "libopeniap-macos-arm64.dylib",
    ("win32", "amd64"): "openiap-windows-x64.dll",
    ("win32", "x86"): "openiap-windows-i686.dll",
}


def library_name(system: str, machine: str, *, musl: bool = False) -> str:
    """Return the name of the library's file for a platform.

    Args:
        system: as ``sys.platform`` says it.
        machine: as ``platform.machine()`` says it, for the running interpreter.
        musl: whether the C library is musl (Alpine).

    Raises:
        Unsupported: the package has none; the text names the platform.
    """
    name = _FILES.get((system, machine.lower()))
    if musl or name is None:
        what = f"{system} on {machine}" + (" with musl (Alpine)" if musl else "")
        raise Unsupported(
            f"{DISTRIBUTION} {VERSION} has no library for {what}: {INSTEAD}", operation="connect"
        )
    return name


def library_path() -> Path:
    """Return the library of the installed package.

    Raises:
        Unsupported: not installed, another version, or no library for this platform.
    """
    try:
        found = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise Unsupported(
            f"the package {DISTRIBUTION} is not installed: pip install {DISTRIBUTION}=={VERSION}, "
            f"or {INSTEAD}",
            operation="connect",
        ) from None
    if found != VERSION:
        raise Unsupported(
            f"{DISTRIBUTION} {VERSION} is needed, {found} is installed "
            f"(later ones download their library at run time): {INSTEAD}",
            operation="connect",
        )
    machine = platform.machine()
    if sys.platform == "win32" and sys.maxsize < 2**32:
        machine = "x86"
    name = library_name(
        sys.platform, machine, musl="musl" in str(sysconfig.get_config_var("SOABI"))
    )
    package = util.find_spec("openiap")
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "lib" / name
        if path.is_file():
            return path
    raise Unsupported(
        f"{DISTRIBUTION} {VERSION} is installed, but its lib/{name} is missing (the distribution "
        f"openiap overwrites it; reinstall {DISTRIBUTION}=={VERSION}), or {INSTEAD}",
        operation="connect",
    )


def prepare_environment(*, vendor_telemetry: bool, metric_url: str = "") -> None:
    """Say what the library reads from the environment when it starts; call it before loading.

    Process metrics go to the library's vendor unless ``enable_analytics`` is ``false``. Its runtime
    takes one thread per core for each connection, which two serve as well. Gauges go to
    ``OTEL_METRIC_URL`` where the server's ``/config`` names no place.
    """
    if metric_url:
        os.environ["OTEL_METRIC_URL"] = metric_url
    if not vendor_telemetry:
        os.environ["enable_analytics"] = "false"  # noqa: SIM112 (the library's spelling)
    if "TOKIO_WORKER_THREADS" not in os.environ:
        # Only for the library, not for the processes that this one starts.
        os.putenv("TOKIO_WORKER_THREADS", "2")


def hide_credentials() -> None:
    """Take credentials out of the C environment, so that the given ones are the ones used.

    The library would sign in with them by itself before it is told whom to sign in. ``os.environ``
    keeps them; so does every program that is started with a copy of it.
    """
    for name in CREDENTIALS:
        os.unsetenv(name)


def metric_url_from_environment() -> str:
    """Return where the library exports gauges to when the server does not say."""
    return os.environ.get("OTEL_METRIC_URL", "")


def no_such_folder() -> str:
    """Return a folder in which nothing can ever be made.

    A pop downloads the item's files by itself to ``folder/<name from the server>``, with no check
    of the name. Below a device nothing exists whatever the name is; on Windows the verbatim prefix
    keeps ``..`` from being resolved, and forward slashes from being separators.
    """
    return r"\\?\C:\nul\openiap-worker" if sys.platform == "win32" else f"{os.devnull}/x"


def scratch_files(folder: Path, first: int, last: int) -> list[Path]:
    """Return the temporary files that the library may have made in these seconds.

    Its downloads go through ``openiap_<seconds since 1970>.tmp``; when the move to the target
    fails, as it is made to in a pop, that file stays behind.

    Args:
        folder: the library's, see ``scratch``.
        first, last: seconds since 1970.
    """
    return [folder / f"openiap_{second}.tmp" for second in range(first, last + 1)]
