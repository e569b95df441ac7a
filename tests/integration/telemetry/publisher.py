"""A worker's telemetry over the official library, in a process of its own.

The library sets its metrics up once per process and never again, so the tests' own process, where
other clients live, is no place for this.

    python publisher.py URL
"""

import asyncio
import sys

from worker.openiap.official.client import OfficialClient
from worker.openiap.types import ConnectionOptions
from worker.telemetry.counts import Counts
from worker.telemetry.gauges import Gauges
from worker.telemetry.log import Log


async def main(url: str) -> None:
    options = ConnectionOptions(url=url, username="tester", password="secret")
    client = OfficialClient(options)
    await client.connect(timeout=60)
    counts = Counts()
    for queue in ("Rechnungen (neu)", "rechnungen-neu", "plain"):
        counts.popped(queue)
        counts.popped(queue)
        counts.finished(queue, "successful", "applied", 0.2)
        counts.left(queue)
    counts.finished("plain", "business", "applied", 0.2)
    counts.finished("plain", "application", "applied", 0.2)
    counts.finished("plain", "successful", "fenced", 0.2)
    counts.source("outbox_size", lambda: 7)
    counts.source("effective_rate", lambda: 24.5)
    log = Log(write=lambda level, line: sys.stderr.write(f"{line}\n"))
    gauges = Gauges(counts, interval=0.5, metric_url="", log=log)
    gauges.use(client)
    await gauges.start()
    sys.stdout.write("publishing\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await gauges.stop()
    await client.disconnect()


asyncio.run(main(sys.argv[1]))
