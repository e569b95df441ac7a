"""Changes of many items that were begun and not finished, so that the same command goes on.

What is kept is one moment of the server's clock: items that changed after it are left alone, and
those that the command itself changed are among them. Nothing else needs to be known.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from worker.openiap.fields import moment_of
from worker.openiap.values import iso, plain
from worker.settings import Settings

FOLDER: Final = "changes"


class Unfinished:
    """What is known of one command, told apart by what it was given and by who runs it where."""

    def __init__(self, settings: Settings, given: Mapping[str, Any]) -> None:
        whose = {"url": settings.url, "username": settings.username, **given}
        text = json.dumps(whose, default=plain, sort_keys=True)
        name = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
        self._path: Final[Path] = settings.state_dir / FOLDER / f"{name}.json"

    def before(self) -> datetime | None:
        """Return the moment at which it was begun, or None."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return moment_of(found.get("before")) if isinstance(found, dict) else None

    def begin(self, before: datetime) -> None:
        """Keep the moment, on disk before anything is changed.

        Raises:
            OSError: it cannot be kept.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = self._path.with_suffix(".new")
        written.write_text(json.dumps({"before": iso(before)}), encoding="utf-8")
        written.replace(self._path)

    def end(self) -> None:
        """Forget it: it went through to the end."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
