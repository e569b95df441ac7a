"""Which files of a project go into its package, and why the others do not. Pure.

1. What is made by tools or belongs to version control stays out without a word.
2. What looks like a secret stays out and is told: a package can be read by everybody who may read
   the collection ``agents``.
3. What would break on an agent stays out and is told (agent.md: ``conda.yaml``), and so does what
   ``dev`` and a worker keep: items, and a password.
4. What looks like data goes in, and is told: ``doubt``.
5. Names that are not safe on every system refuse the build.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from worker.cli.package.errors import PackageError
from worker.cli.package.ignore import IgnoreRules, ignored
from worker.openiap.errors import FileTransferError
from worker.openiap.filenames import safe_name

MAX_PATH: Final = 1_000

_TOOL_FOLDERS: Final = frozenset(
    {
        *(".git", ".hg", ".svn", ".idea", ".vscode", ".tox", ".nox", ".venv", "venv"),
        *("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"),
        *("node_modules", "dist", "build", ".ipynb_checkpoints"),
    }
)
_TOOL_FILES: Final = (
    *("*.pyc", "*.pyo", "*.swp", "*~", ".DS_Store", "Thumbs.db", ".coverage", ".coverage.*"),
    *("*.tgz", "*.worker.lock", "openiap_worker-*.whl"),
    *(".gitignore", ".gitattributes", ".npmignore", ".dockerignore"),
    "requirements.txt.done",  # an agent's own mark: with it, it would install nothing
)
_SECRET_FILES: Final = (
    *(".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.ppk", ".netrc", "_netrc", ".pgpass"),
    *(".pypirc", ".npmrc", "credentials.json", "token.json", "service-account*.json"),
    *(".htpasswd", "secrets.*", "*.jwt"),
)
_SECRET_FOLDERS: Final = frozenset({".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker"})
_HARMLESS: Final = (".env.example", ".env.sample", ".env.template", "*.pub")
_KEPT_FOLDERS: Final = frozenset({".openiap"})
_KEPT_FILES: Final = ("*.sqlite", "*.sqlite-*")
_DATA_FILES: Final = (
    *("*.csv", "*.tsv", "*.xls", "*.xlsx", "*.xlsm", "*.xlsb", "*.ods", "*.parquet", "*.feather"),
    *("*.jsonl", "*.ndjson", "*.avro", "*.orc", "*.pickle", "*.pkl", "*.npy", "*.npz", "*.h5"),
    *("*.db", "*.db3", "*.sqlite3", "*.duckdb", "*.mdb", "*.accdb", "*.dump", "*.bak", "*.sql"),
    *("*.zip", "*.7z", "*.rar", "*.tar", "*.tar.*", "*.gz", "*.bz2", "*.xz", "*.zst"),
    *("*.log", "*.log.*", "*.pcap", "*.har", "*.eml", "*.msg", "*.pst", "*.pdf", "*.docx"),
)
LARGE: Final = 1024 * 1024
"""Bytes; code and settings are seldom larger."""
_CONDA_FILES: Final = frozenset({"conda.yaml", "conda.yml", "environment.yml", "environment.yaml"})

TELLTALE: Final = "it looks like a secret"
KEPT: Final = "it holds items or settings of a worker or server that ran here"
CONDA: Final = "with it beside requirements.txt an agent without conda starts the package only once"


def left_out(path: str, rules: IgnoreRules, *, folder: bool = False) -> str | None:
    """Return None for what goes into the package, else the reason: "" when it needs no word.

    Args:
        path: relative to the project, with forward slashes.
        rules: the project's ignore file.
        folder: whether it is one; what is in a folder that is left out is not asked for.
    """
    name = path.rpartition("/")[2]
    if folder:
        if name in _SECRET_FOLDERS:
            return TELLTALE
        if name in _TOOL_FOLDERS or name.endswith(".egg-info"):
            return ""
        if ignored(path, rules, folder=True):
            return ""
        return KEPT if name in _KEPT_FOLDERS else None
    # Before the ignore file: a secret that it forgets, or takes back, stays out all the same.
    lower = name.lower()
    if _any(lower, _SECRET_FILES) and not _any(lower, _HARMLESS):
        return TELLTALE
    if path in _CONDA_FILES:
        return CONDA
    if _any(name, _TOOL_FILES) or ignored(path, rules):
        return ""
    return KEPT if _any(lower, _KEPT_FILES) else None


def doubt(path: str, size: int) -> str:
    """Return what makes a packed file look as if it were not meant to be, or "".

    Args:
        path: relative to the project, with forward slashes.
        size: in bytes.
    """
    if _any(path.rpartition("/")[2].lower(), _DATA_FILES):
        return "looks like data"
    return "is large" if size >= LARGE else ""


def checked_path(path: str) -> str:
    """Return a path inside an archive when every system can have it.

    Raises:
        PackageError: it leaves the folder, is absolute, or a part of it is no safe name.
    """
    parts = path.split("/")
    for part in parts:
        try:
            if safe_name(part) != part:
                raise PackageError(f"The file name {path!r} is not safe in a package.")
        except FileTransferError as error:
            raise PackageError(
                f"The file {path!r} cannot go into a package: {error.text}."
            ) from error
    if len(path) > MAX_PATH:
        raise PackageError(f"The path {path[:60]!r}… is longer than {MAX_PATH} characters.")
    return path


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
