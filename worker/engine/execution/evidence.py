"""Evidence of a failed attempt: a text file on the item, for ``@handler(…, evidence=True)``.

It holds what failed and where, the item's log lines, the local variables of each frame, and the
environment. Whatever is named like a secret, or looks like one, is stars.
"""

import asyncio
import os
import platform
import re
import sys
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from worker.errors import StateError
from worker.item.error_chain import behind, message_of, whole_source
from worker.item.error_text import clip, masked
from worker.item.files import Attachment
from worker.item.item import Item, ItemLog
from worker.item.outcome import Outcome
from worker.openiap.errors import OpenIAPError
from worker.openiap.values import iso
from worker.openiap.workitem import Workitem
from worker.package_path import OWN_CODE

MOST_LINES: Final = 500
MOST_VALUE: Final = 500
MOST_TEXT: Final = 512 * 1024
STARS: Final = "********"
_SECRET_NAME: Final = re.compile(
    r"(?i)passw|pwd|secret|token|api_?key|private_?key|credential|jwt|auth|cookie|session|dsn|salt"
)


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
        self.lines.append(f"{iso(datetime.now(UTC))} {level:<5} {clip(message, 2_000)}{more}")


async def with_evidence(
    error: BaseException, outcome: Outcome, facts: AttemptFacts, keeper: Keeper
) -> Outcome:
    """Return a failure with the evidence attached; without it where it cannot be kept."""
    if outcome.kind in ("successful", "released"):
        return outcome
    name = f"evidence-attempt-{facts.workitem.retries + 1}.txt"
    text = evidence_text(error, facts, os.environ)
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
        "--- log lines\n" + ("\n".join(masked(line) for line in lines) or "(none)"),
        f"--- variables\n{variables or '(none)'}",
        "--- environment\n"
        + "\n".join(f"{name}={shown(name, environment[name])}" for name in sorted(environment)),
    ]
    return clip("\n\n".join(parts) + "\n", MOST_TEXT)


def all_variables_of(error: BaseException) -> str:
    """Return the local variables of an error's frames, and of those of what stands behind it."""
    found = [variables_of(one) for one in (error, *(one for _, one in behind(error)))]
    return "\n".join(dict.fromkeys(text for text in found if text))


def variables_of(error: BaseException) -> str:
    """Return the local variables of an error's frames, the worker's own frames left out."""
    parts = []
    for frame, line in traceback.walk_tb(_own_left_out(error.__traceback__)):
        code = frame.f_code
        if code.co_filename.startswith(OWN_CODE):
            continue
        parts.append(f"{code.co_filename}, line {line}, in {code.co_qualname}")
        parts += [f"    {name} = {shown(name, value)}" for name, value in frame.f_locals.items()]
    return "\n".join(parts)


def shown(name: str, value: object) -> str:
    """Return a value for the file: masked, cut, and on one line."""
    if _SECRET_NAME.search(name):
        return STARS
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception as broken:  # a __repr__ of anybody's
        text = f"(its repr raised {type(broken).__name__})"
    return masked(clip(text[: 4 * MOST_VALUE], MOST_VALUE)).replace("\n", "\\n")


def _own_left_out(frames: TracebackType | None) -> TracebackType | None:
    """Skip the worker's frames at the beginning."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(OWN_CODE):
        frames = frames.tb_next
    return frames
