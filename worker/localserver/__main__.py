"""``python -m worker.localserver``: the server alone, for tests and benchmarks.

Prints one line of JSON with its addresses when it listens. The command for people is
``openiap-worker server``.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from worker.localserver import LocalServer, ServerOptions, ServerStartError, serve
from worker.runloop import run_long


def _options(arguments: list[str]) -> ServerOptions:
    parser = argparse.ArgumentParser(prog="python -m worker.localserver")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--grpc-port", type=int, default=0)
    parser.add_argument("--no-grpc", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--user", action="append", default=[], metavar="NAME:PASSWORD")
    parser.add_argument("--rate-limit", type=int, default=0)
    parser.add_argument("--wakeup-interval", type=float, default=10.0)
    parser.add_argument("--wakeup-spacing", type=float, default=1.0)
    parser.add_argument("--pops-compete", action="store_true")
    parser.add_argument("--otel-metric-url")
    parser.add_argument("--faults", action="store_true", help="answer POST /faults, GET /stats")
    given = parser.parse_args(arguments)
    users = {}
    for user in given.user:
        name, separator, password = user.partition(":")
        if not (separator and name and password):
            parser.error("--user takes NAME:PASSWORD")
        users[name] = password
    return ServerOptions(
        host=given.host,
        port=given.port,
        grpc_port=given.grpc_port,
        grpc_enabled=not given.no_grpc,
        data=given.data,
        users=users,
        rate_limit=given.rate_limit,
        wakeup_interval=given.wakeup_interval,
        wakeup_spacing=given.wakeup_spacing,
        pops_compete=given.pops_compete,
        otel_metric_url=given.otel_metric_url,
        faults_endpoint=given.faults,
        log=lambda line: _write(sys.stderr.fileno(), line),
    )


def _write(descriptor: int, line: str) -> None:
    os.write(descriptor, f"{line}\n".encode())


def _announce(server: LocalServer) -> None:
    told = {
        "ws": server.ws_url,
        "grpc": server.grpc_url,
        "http": server.http_url,
        "pid": os.getpid(),
        "user": server.credentials[0],
    }
    _write(sys.stdout.fileno(), json.dumps(told))


def main() -> int:
    """Run the server and return the exit code."""
    options = _options(sys.argv[1:])
    try:
        run_long(serve(options, on_ready=_announce))
    except ServerStartError as error:
        _write(sys.stderr.fileno(), str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
