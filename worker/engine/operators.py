"""What one worker and its operators tell each other: its report, and what they tell it to do."""

from collections.abc import Callable

from worker.app.registry import Registry
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.fleet.mailbox import Mailbox
from worker.engine.outbox.state_dir import StateDirectory
from worker.engine.queue_workers import QueueWorkers
from worker.engine.reporter import Reporter, ReportSources
from worker.engine.shortages import Shortages
from worker.engine.steering import Steering
from worker.openiap.client import Client
from worker.openiap.pool import Pool
from worker.settings import Settings
from worker.telemetry.telemetry import Telemetry


def reporter_for(
    registry: Registry,
    workers: QueueWorkers,
    *,
    state: StateDirectory,
    shortages: Shortages,
    telemetry: Telemetry,
) -> Reporter:
    """Return what makes the report that goes with each heartbeat."""
    return Reporter(
        ReportSources(
            workers=workers,
            counts=telemetry.counts,
            timeouts={one.queue: one.handler.options.timeout for one in registry},
            not_ready=telemetry.reasons,
            short=shortages.reasons,
            outbox=lambda: 0 if state.outbox is None else state.outbox.size(),
            level=lambda: telemetry.log.level,
        )
    )


def mailbox_for(
    settings: Settings,
    workers: QueueWorkers,
    *,
    heartbeat: Heartbeat,
    client: Client,
    pool: Pool,
    reporter: Reporter,
    telemetry: Telemetry,
    stop: Callable[[], None],
) -> Mailbox | None:
    """Return where operators tell the worker what to do, which it answers in its report; None where
    nobody steers it.

    Args:
        stop: begins the worker's stop; returns at once.
    """
    if not settings.steering or settings.once:  # over before somebody could steer it
        return None
    steering = Steering(
        workers, stop=stop, tell=heartbeat.beat, now=heartbeat.server_now, log=telemetry.log
    )
    mailbox = Mailbox(
        heartbeat.me,
        client=client,
        pool=pool,
        operators=settings.operators,
        every=settings.heartbeat_interval,
        now=lambda: heartbeat.server_time,
        usable=lambda: heartbeat.usable,
        obey=steering.obey,
        log=telemetry.log,
    )
    steering.mailbox = lambda: mailbox.id
    reporter.steered = steering.told
    return mailbox
