"""The state directory of one worker: its name, its outbox and its spool; or doing without it."""

import platform
import secrets
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from worker.engine.outbox.identity import claim_identity, draw_anew
from worker.engine.outbox.lockfile import Locked
from worker.engine.outbox.outbox import Outbox
from worker.engine.outbox.spool import Spool
from worker.errors import StateError
from worker.settings import Settings
from worker.telemetry.log import Log


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """What a worker keeps on disk.

    Attributes:
        worker_id: who it is.
        outbox: None where the settings or the disk do not allow one.
        spool: in the system's temporary folder where the state directory cannot be used.
        trouble: why it is done without, or "".
        lock: the mark of the lock on the name, or "" without one.
    """

    worker_id: str
    outbox: Outbox | None
    spool: Spool
    trouble: str = ""
    lock: str = ""


async def open_state(
    settings: Settings, stack: AsyncExitStack, log: Log, *, prefix: str = ""
) -> StateDirectory:
    """Take a name and open what is kept under it; a directory that cannot be used is done without.

    Args:
        stack: lets go of everything.
        prefix: of a name that nobody chose.

    Raises:
        Locked: another process has this worker's name.
    """
    folder = settings.state_dir
    try:
        identity = claim_identity(folder, settings.worker_id, prefix=prefix)
    except Locked:
        raise
    except StateError as error:
        return _without(settings, stack, log, error, prefix)
    stack.callback(identity.release)
    outbox: Outbox | None = None
    if settings.outbox:
        outbox = await Outbox.open(
            folder,
            identity.id,
            sync=settings.outbox_sync,
            keep_evidence_days=settings.evidence_days,
            on_trouble=log.error,
            on_recovery=log.info,
        )
        stack.push_async_callback(outbox.close)
    spool = Spool(folder / "spool" / identity.id)
    return StateDirectory(identity.id, outbox, spool, lock=identity.lock.mark)


def taken(settings: Settings, error: StateError) -> StateError:
    """Another living worker has this worker's name: one that nobody chose is drawn anew, for the
    next start; returns what is to be said."""
    if settings.worker_id:
        return error
    try:
        draw_anew(settings.state_dir)
    except StateError:
        return error
    return StateError(f"{error} The next start takes another name.")


def _without(
    settings: Settings, stack: AsyncExitStack, log: Log, error: StateError, prefix: str
) -> StateDirectory:
    log.error(
        f"{error} The worker goes on without it: outcomes that cannot be delivered before it ends"
        " are lost, and their items are worked again"
    )
    temporary = tempfile.TemporaryDirectory(prefix="openiap-worker-")
    stack.callback(temporary.cleanup)
    worker_id = settings.worker_id or f"{prefix}{platform.node()}-{secrets.token_hex(4)}"
    return StateDirectory(
        worker_id, None, Spool(Path(temporary.name)), f"no state directory: {error}"
    )
