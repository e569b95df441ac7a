"""systemd is told what it wants to know, over a real socket."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from worker.telemetry.log import Log
from worker.telemetry.systemd import Systemd

LOG = Log("error")


class Supervisor:
    """The other end of ``NOTIFY_SOCKET``."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(60)

    def waiting(self) -> list[str]:
        """Return what has come already."""
        found = []
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                found.append(self.heard())
        self.socket.settimeout(60)
        return found

    def heard(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.fixture(params=["path", "abstract"] if sys.platform == "linux" else ["path"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Supervisor, str]]:
    if request.param == "path":
        shown = address = str(tmp_path / "notify")
    else:
        shown = f"@openiap-worker-test-{os.getpid()}"
        address = "\0" + shown[1:]
    supervisor = Supervisor(address)
    yield supervisor, shown
    supervisor.socket.close()


def test_ready_stopping_and_status_arrive(place: tuple[Supervisor, str]) -> None:
    supervisor, address = place
    systemd = Systemd({"NOTIFY_SOCKET": address}, log=LOG)
    assert systemd.present
    assert systemd.watchdog_interval == 0
    assert systemd.ready("working invoices")
    assert supervisor.heard() == "READY=1\nSTATUS=working invoices"
    assert systemd.status("two\nlines\nREADY=1")
    assert supervisor.heard() == "STATUS=two lines READY=1"
    assert systemd.stopping()
    assert supervisor.heard() == "STOPPING=1"


async def test_signs_of_life_come_only_while_the_loop_lives(
    place: tuple[Supervisor, str],
) -> None:
    supervisor, address = place
    systemd = Systemd(
        {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())},
        log=LOG,
    )
    assert systemd.watchdog_interval == pytest.approx(0.2)
    await systemd.start()
    for _ in range(3):
        assert await asyncio.to_thread(supervisor.heard) == "WATCHDOG=1"
    supervisor.waiting()  # what was sent before
    time.sleep(0.5)  # a handler that blocks the loop
    assert supervisor.waiting() == []
    assert await asyncio.to_thread(supervisor.heard) == "WATCHDOG=1"
    await systemd.stop()
    await systemd.stop()


def test_without_systemd_nothing_happens() -> None:
    for environment in ({}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/no/such/socket"}):
        systemd = Systemd(environment, log=LOG)
        assert not systemd.ready()
        assert not systemd.watchdog()


def test_a_watchdog_for_another_process_is_not_ours() -> None:
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    assert Systemd(environment, log=LOG).watchdog_interval == 0
    assert Systemd({"WATCHDOG_USEC": "soon"}, log=LOG).watchdog_interval == 0
