"""A collector that is away, or that speaks another protocol, is said once and holds nobody up."""

import socket
import subprocess
import sys

from worker.telemetry.tracing import LAST_SECONDS

DEADLINE = 120.0
PROGRAM = """
import sys, time
from worker.telemetry.log import Log
from worker.telemetry.standard_logging import StandardLogging
from worker.telemetry.tracing import Tracing

log = Log("info")
StandardLogging(log).start()
tracing = Tracing(sys.argv[1], version="1", environment={}, report=log.error)
tracing.start()
from opentelemetry import trace

for number in range(600):
    trace.get_tracer("x").start_span(str(number)).end()
began = time.monotonic()
tracing.close()
print(time.monotonic() - began)
"""


def test_a_collector_that_is_away_is_said_once_and_does_not_keep_a_worker_from_stopping() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1/traces"
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, url],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=True,
        )
    assert float(done.stdout) < LAST_SECONDS + 2
    path, *away = done.stderr.splitlines()
    assert "its path is left out" in path
    assert "4317" in path
    assert len(away) == 1, done.stderr
    assert "exporting traces" in away[0]
