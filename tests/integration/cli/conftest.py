"""The command line, here and as a process of its own, against a local server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.commands import (
    Cli,
    Finished,
    run_here,
    served,
    signed_environment,
)


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run a command to its end, without a server."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> Finished:
        return run_here(*arguments, folder=tmp_path, stdin=stdin, environment=environment)

    return run


@pytest.fixture
def signed(cli: Cli, server_url: str, tmp_path: Path) -> Cli:
    """Run a command to its end, as a user of the server."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> Finished:
        signed_in = signed_environment(server_url, tmp_path)
        return cli(*arguments, stdin=stdin, **{**signed_in, **environment})

    return run
