"""Making the gate of a handler that declares keys or rates."""

import random
from collections.abc import Callable, Sequence

from worker.app.options import HandlerOptions
from worker.engine.concurrency.gate import Gate
from worker.engine.concurrency.key_lock import KeyLock
from worker.engine.concurrency.rate_limit import RateLimit
from worker.engine.concurrency.waiting_line import WaitingLines
from worker.engine.concurrency.waker import Waker
from worker.engine.fleet.heartbeat import Heartbeat
from worker.openiap.pool import Pool
from worker.openiap.pooled_client import pooled_client
from worker.openiap.workitem import JsonObject
from worker.state.cells import Cells
from worker.telemetry.log import Log


def gate_for(
    name: str,
    options: HandlerOptions,
    *,
    pool: Pool,
    namespace: str,
    rights: Callable[[], Sequence[JsonObject]],
    presence: Heartbeat,
    wake: Callable[[], None],
    silent_after: float,
    log: Log,
    chance: random.Random,
) -> Gate | None:
    """Return a handler's gate, or None where it needs none.

    Args:
        name: the handler's.
        namespace: keeps environments apart; see the setting.
        rights: the queue's: whoever may work it may see its keys and rates, too.
        presence: tells the server's time, and whether this worker is heard of.
        wake: tells the queue's consumer that there is something to pop.
        silent_after: seconds after which others take a silent worker for dead.
    """
    if options.key is None and options.rate is None:
        return None
    client = pooled_client(pool)
    lines = WaitingLines(client, namespace=namespace, queue=options.queue, rights=rights)
    key_lock = None
    if options.key is not None and options.per_key is not None:
        key_lock = KeyLock(
            options.per_key,
            cells=Cells(client, namespace),
            rights=rights,
            lines=lines,
            waker=Waker(pool, queue=options.queue),
            wake=wake,
            now=presence.server_now,
        )
    limit, limit_per_key = (
        None
        if rate is None
        else RateLimit(
            client, rate, namespace=namespace, rights=rights, shared=lambda: presence.last_stamp
        )
        for rate in (options.rate, options.rate_per_key)
    )
    return Gate(
        name,
        options,
        key_lock=key_lock,
        lines=lines,
        rate=limit,
        rate_per_key=limit_per_key,
        now=presence.server_now,
        epoch=lambda: pool.epoch,
        steady=presence.steady,
        silent_after=silent_after,
        log=log,
        chance=chance,
    )
