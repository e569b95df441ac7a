"""``python -m worker.localserver``: ``openiap-worker server --json`` for tests and benchmarks.

It starts without the command line's libraries, which is a fifth of the CPU of a start, picks free
ports, and takes the options that only tests want.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from worker.localserver import LocalServer, ServerOptions, ServerStartError, serve
from worker.localserver.serve import addresses, parse_users
from worker.runloop import run_long


def _options(arguments: list[str]) -> ServerOptions:
    parser = argparse.ArgumentParser(prog="python -m worker.localserver")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--grpc-port", type=int, default=0)
    parser.add_argument("--no-grpc", action="store_false", dest="grpc_enabled")
    parser.add_argument("--data", type=Path)
    parser.add_argument(
        "--user", action="append", default=[], dest="users", metavar="NAME:PASSWORD"
    )
    parser.add_argument(
        "--plain-user", action="append", default=[], dest="plain_users", metavar="NAME:PASSWORD"
    )
    parser.add_argument("--rate-limit", type=int, default=0)
    parser.add_argument("--wakeup-interval", type=float, default=10.0)
    parser.add_argument("--wakeup-spacing", type=float, default=1.0)
    parser.add_argument("--strict", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--pops-compete", action="store_true")
    parser.add_argument("--pop-contention", action="store_true")
    parser.add_argument("--otel-metric-url")
    parser.add_argument(
        "--faults",
        action="store_true",
        dest="faults_endpoint",
        help="answer POST /faults, GET /stats",
    )
    given = vars(parser.parse_args(arguments))
    for option in ("user", "plain_user"):
        try:
            given[f"{option}s"] = parse_users(given[f"{option}s"])
        except ValueError as error:
            parser.error(f"--{option.replace('_', '-')} {error}")
    return ServerOptions(**given, log=lambda line: _write(sys.stderr.fileno(), line))


def _write(descriptor: int, line: str) -> None:
    os.write(descriptor, f"{line}\n".encode())


def main() -> int:
    """Run the server and return the exit code."""
    options = _options(sys.argv[1:])

    def announce(server: LocalServer) -> None:
        _write(sys.stdout.fileno(), json.dumps(addresses(server, options)))

    try:
        run_long(serve(options, on_ready=announce))
    except ServerStartError as error:
        _write(sys.stderr.fileno(), str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
