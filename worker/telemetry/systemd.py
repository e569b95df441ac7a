"""What systemd wants to be told (``sd_notify(3)``): ready, stopping, status, and still alive.

A datagram with lines of ``KEY=value`` to the socket that ``NOTIFY_SOCKET`` names; nothing at all
where there is none.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from worker.service import Service
from worker.telemetry.log import Log

LEAST_INTERVAL: Final = 0.05


class Systemd(Service):
    """The notifications of one process; its rounds are signs of life, from the loop itself: a
    blocked loop sends none.

    Args:
        environment: where ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are read.
    """

    def __init__(self, environment: Mapping[str, str], *, log: Log) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_interval: Final = _watchdog(environment)
        """Seconds within which systemd wants a sign of life; 0: it does not."""
        super().__init__(
            "systemd watchdog",
            # Twice as often as asked, as systemd's manual advises.
            pause=max(LEAST_INTERVAL, self.watchdog_interval / 2),
            on_error=partial(log.failed, "no sign of life for systemd"),
        )

    @property
    def present(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    async def start(self) -> None:
        """Begin to send signs of life, where systemd wants them."""
        if self.present and self.watchdog_interval > 0:
            await super().start()

    async def round(self) -> None:
        """Give a sign of life."""
        self.watchdog()

    def ready(self, status: str = "") -> bool:
        """Say that the worker works; returns whether it was sent."""
        return self._send("READY=1", *_status(status))

    def stopping(self, status: str = "") -> bool:
        """Say that the worker is stopping."""
        return self._send("STOPPING=1", *_status(status))

    def status(self, text: str) -> bool:
        """Show a line in ``systemctl status``."""
        return self._send(*_status(text))

    def watchdog(self) -> bool:
        """Give a sign of life."""
        return self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> bool:
        if not self._address or not lines or not hasattr(socket, "AF_UNIX"):
            return False
        with suppress(OSError):  # a supervisor that does not listen is no reason to fail
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                channel.connect(self._address)
                channel.send("\n".join(lines).encode())
            return True
        return False


def _address(text: str) -> str:
    """Return the socket's address: a path, or ``@name`` for an abstract one (a leading NUL)."""
    if text.startswith("@"):
        return f"\0{text[1:]}"
    return text if text.startswith("/") else ""


def _watchdog(environment: Mapping[str, str]) -> float:
    pid = environment.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return 0.0  # meant for another process of this service
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isdecimal() else 0.0


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())}",) if text else ()
