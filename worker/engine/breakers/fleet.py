"""The breakers of a worker of a fleet: what its handlers declare, over the documents of their
queues."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from worker.app.registry import Registry
from worker.engine.breakers.breakers import Breakers
from worker.engine.breakers.circuit import Circuit, circuits_of, failures_of
from worker.engine.breakers.store import Written, count_failure, times_handed_back, write_circuit
from worker.engine.fleet.heartbeat import Heartbeat
from worker.engine.queue_workers import QueueWorkers
from worker.engine.queues import Queues
from worker.openiap.pool import Pool
from worker.telemetry.log import Log


def breakers_for(
    registry: Registry,
    pool: Pool,
    queues: Queues,
    heartbeat: Heartbeat,
    workers: QueueWorkers,
    *,
    worker_id: str,
    log: Log,
) -> Breakers:
    """Return them; nothing is asked or written before their first round."""

    def told(queue: str) -> Mapping[str, Circuit] | None:
        facts = queues.facts.get(queue)
        return None if facts is None or not facts.id else facts.circuits

    async def write(queue: str, name: str, before: int, circuit: Circuit) -> Written:
        id = queues.facts[queue].id
        done = await pool.call(
            lambda client: write_circuit(client, id, name, before, circuit), turn="first"
        )
        facts = queues.facts[queue]
        if done == "done" and facts.id == id and not _newer(facts.circuits.get(name), circuit):
            # What was known of the document is older than this; the watch tells the same.
            queues.facts[queue] = replace(facts, circuits={**facts.circuits, name: circuit})
        if done == "changed":
            queues.doubt()
        return done

    async def count(queue: str, name: str, most: int, at: datetime) -> Sequence[datetime]:
        id = queues.facts[queue].id
        document = await pool.call(
            lambda client: count_failure(client, id, name, most, at), turn="first"
        )
        found, facts = circuits_of(document).get(name), queues.facts[queue]
        if found is not None and facts.id == id and not _newer(facts.circuits.get(name), found):
            queues.facts[queue] = replace(facts, circuits={**facts.circuits, name: found})
        return failures_of(document, name)

    async def times(item: str) -> int:
        return await pool.call(lambda client: times_handed_back(client, item))

    return Breakers(
        {one.queue: one.handler.options.breakers for one in registry},
        worker_id=worker_id,
        now=heartbeat.server_now,
        log=log,
        write=write,
        count=count,
        times=times,
        told=told,
        on_over=workers.resumed,
    )


def _newer(known: Circuit | None, written: Circuit) -> bool:
    return known is not None and known.number > written.number
