"""What the figures were taken on: machine, versions, and how busy it was."""

import importlib.metadata
import os
import platform
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from tests.benchmarks.figures import Table
from tests.benchmarks.stage import ROOT

PACKAGES: Final = (
    "openiap-edge",
    "uvloop",
    "websockets",
    "protobuf",
    "pydantic",
    "uvicorn",
    "grpcio",
)


def load() -> str:
    """Return how busy the machine is now."""
    if not hasattr(os, "getloadavg"):
        return "unknown"
    return f"{os.getloadavg()[0]:.1f}"


def table(began: datetime, load_before: str) -> Table:
    """Return machine and versions."""
    memory = psutil.virtual_memory().total / 1024**3
    return Table(
        ("", ""),
        [
            ("taken", f"{began:%Y-%m-%d %H:%M} to {datetime.now(UTC):%H:%M} UTC"),
            ("commit", _commit()),
            ("processor", f"{_processor()}, {os.cpu_count()} in this machine"),
            ("memory", f"{memory:.1f} GiB"),
            ("system", f"{platform.system()} {platform.release()}"),
            ("load, before and after", f"{load_before} and {load()}"),
            ("Python, SQLite", f"{platform.python_version()}, {sqlite3.sqlite_version}"),
            ("packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)),
        ],
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    found = subprocess.run(
        ["git", "-C", str(ROOT), "log", "-1", "--format=%h of %cs"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"
