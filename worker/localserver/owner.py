"""The user of a server that was started without one: random, and kept beside the data."""

import os
import secrets
from pathlib import Path

NAME = "local"


def credentials_file(data: Path) -> Path:
    """Return where the user and password of a data file are kept."""
    return data.with_name(f"{data.name}.user")


def made_up_user(data: Path | None) -> tuple[str, str]:
    """Return a user name and password; those of an earlier start where there are some.

    Args:
        data: the data file; without one nothing is kept.

    Raises:
        OSError: the file beside the data cannot be read or written.
    """
    if data is None:
        return NAME, secrets.token_urlsafe(18)
    path = credentials_file(data)
    if path.exists():
        name, separator, password = path.read_text(encoding="utf-8").strip().partition(":")
        if separator and name and password:
            return name, password
    name, password = NAME, secrets.token_urlsafe(18)
    # Made with its mode, not changed to it after: nobody else may read it even for a moment.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{name}:{password}\n")
    return name, password
