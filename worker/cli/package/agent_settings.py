"""Settings fit for an OpenIAP agent. Pure.

Sources: agent.md, The run. An agent sends SIGTERM, SIGINT after 5 s and SIGKILL after 10 s, so the
stages of stopping (drain, cancel, hand back) must be over by then. It keeps all output in memory
until the worker ends, so little is said. It deletes the working directory, so no state lives there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from worker.settings import Loaded

DRAIN: Final = 4.0
"""Seconds; below the 5 s after which an agent's SIGINT cuts the drain short."""
CANCEL: Final = 2.0
LOG_LEVEL: Final = "warn"


def agent_overrides(
    loaded: Loaded, name: str, handlers: Sequence[str], *, working: Path, state: Path
) -> dict[str, Any]:
    """Return what is set on top of the settings that were found.

    The schedule's environment is obeyed. The package's settings file is obeyed, too, except where
    it does not fit an agent: longer stops are cut, and state does not go where it is deleted.

    Args:
        loaded: the settings with their sources.
        name: the package's name.
        handlers: the modules that the package was built for.
        working: the working directory, which does not outlive the run.
        state: the user's state directory for this program.
    """
    settings, sources = loaded.settings, loaded.sources
    found: dict[str, Any] = {}
    if not settings.handlers:
        found["handlers"] = tuple(handlers)
    for setting, limit in (("drain_timeout", DRAIN), ("cancel_timeout", CANCEL)):
        if not _said(sources, setting) and getattr(settings, setting) > limit:
            found[setting] = limit
    if "log_level" not in sources:
        found["log_level"] = LOG_LEVEL
    if not _said(sources, "state_dir") and _goes_away(settings.state_dir, sources, working):
        # One folder for each package: what one of them left is not another's to send.
        found["state_dir"] = state / name
    return found


def _said(sources: Mapping[str, str], setting: str) -> bool:
    """Tell whether whoever runs the package set this, rather than whoever wrote it."""
    return sources.get(setting, "").startswith("environment")


def _goes_away(folder: Path, sources: Mapping[str, str], working: Path) -> bool:
    if "state_dir" not in sources:
        return True
    return (working / folder).resolve().is_relative_to(working.resolve())
