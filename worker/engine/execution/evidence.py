"""Evidence of a failed attempt: a text file on the item, for ``@handler(…, evidence=True)``.

It holds what failed and where, the item's log lines, the local variables of each frame, and the
names of the environment's variables, with the values of some that are known to be harmless.
Whatever is named like a secret, looks like one, or is one of this process's, is stars.
"""

import asyncio
import os
import platform
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from worker.engine.execution.variables import all_variables_of, shown, without_runs
from worker.errors import StateError
from worker.item.error_chain import message_of, whole_source
from worker.item.files import Attachment
from worker.item.item import Item, ItemLog
from worker.item.masking import shortened
from worker.item.outcome import Outcome
from worker.openiap.errors import OpenIAPError
from worker.openiap.values import iso
from worker.openiap.workitem import Workitem

MOST_LINES: Final = 500
MOST_MESSAGE: Final = 2_000
MOST_TEXT: Final = 512 * 1024
HARMLESS: Final = frozenset(
    [
        "HOME",
        "HOSTNAME",
        "LANG",
        "LANGUAGE",
        "LC_ALL",
        "LC_CTYPE",
        "LOGNAME",
        "OPENIAP_WORKER_CLIENT",
        "OPENIAP_WORKER_CONCURRENCY",
        "OPENIAP_WORKER_HANDLERS",
        "OPENIAP_WORKER_NAMESPACE",
        "PATH",
        "PWD",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHASHSEED",
        "PYTHONOPTIMIZE",
        "PYTHONPATH",
        "PYTHONUNBUFFERED",
        "PYTHON_VERSION",
        "SHELL",
        "TERM",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
    ]
)
"""Variables of the environment whose values are shown; of all others the names alone."""


class Keeper(Protocol):
    """Where attachments are kept until the server has them."""

    async def keep(self, source: Path | bytes, name: str) -> Attachment:
        """Keep a copy of a file, or of content.

        Raises:
            StateError, FileTransferError: it cannot be kept.
        """


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """What is known of an attempt besides its error."""

    handler: str
    worker: str
    workitem: Workitem
    item: Item | None
    seconds: float


class EvidenceLog:
    """The item's log, with a memory of its last lines."""

    def __init__(self, log: ItemLog) -> None:
        self._log = log
        self.lines: Final[deque[str]] = deque(maxlen=MOST_LINES)

    def debug(self, message: str, **fields: object) -> None:
        """Log a line and remember it."""
        self._keep("debug", message, fields)
        self._log.debug(message, **fields)

    def info(self, message: str, **fields: object) -> None:
        """Log a line and remember it."""
        self._keep("info", message, fields)
        self._log.info(message, **fields)

    def warn(self, message: str, **fields: object) -> None:
        """Log a line and remember it."""
        self._keep("warn", message, fields)
        self._log.warn(message, **fields)

    def error(self, message: str, **fields: object) -> None:
        """Log a line and remember it."""
        self._keep("error", message, fields)
        self._log.error(message, **fields)

    def _keep(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        more = "".join(f" {name}={shown(name, value)}" for name, value in fields.items())
        self.lines.append(
            f"{iso(datetime.now(UTC))} {level:<5} {shortened(message, MOST_MESSAGE)}{more}"
        )


async def with_evidence(
    error: BaseException, outcome: Outcome, facts: AttemptFacts, keeper: Keeper
) -> Outcome:
    """Return a failure with the evidence attached; without it where it cannot be kept."""
    if outcome.kind in ("successful", "released"):
        return outcome
    name = f"evidence-attempt-{facts.workitem.retries + 1}.txt"
    text = await asyncio.to_thread(evidence_text, error, facts, os.environ)
    try:
        kept = await asyncio.shield(keeper.keep(text.encode("utf-8", "replace"), name))
    except (StateError, OpenIAPError):
        return outcome
    return replace(outcome, attachments=((kept.name, str(kept.path)),))


def evidence_text(error: BaseException, facts: AttemptFacts, environment: Mapping[str, str]) -> str:
    """Return the file's content."""
    workitem = facts.workitem
    lines = facts.item.log.lines if facts.item and isinstance(facts.item.log, EvidenceLog) else ()
    elsewhere = getattr(error, "variables", "")
    variables = elsewhere if isinstance(elsewhere, str) and elsewhere else all_variables_of(error)
    parts = [
        f"{facts.handler} failed on item {workitem.id} of {workitem.wiq},"
        f" attempt {workitem.retries + 1}, after {facts.seconds:.3g} s\n"
        f"worker {facts.worker or 'unknown'}, {iso(datetime.now(UTC))},"
        f" Python {platform.python_version()} on {sys.platform}",
        message_of(error),
        f"--- traceback\n{whole_source(error)}",
        "--- log lines\n" + (without_runs("\n".join(lines)) or "(none)"),
        f"--- variables\n{variables or '(none)'}",
        f"--- environment\n{environment_of(environment)}",
    ]
    # Once more as a whole: what came out of another process knew less than this one.
    return shortened("\n\n".join(parts) + "\n", MOST_TEXT)


def environment_of(environment: Mapping[str, str]) -> str:
    """Return the names of the variables, those that are harmless with their values."""
    lines = [
        f"{name}={shown(name, environment[name])}" if name in HARMLESS else name
        for name in sorted(environment)
    ]
    return "\n".join(lines)
