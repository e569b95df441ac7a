"""Ports of a server that is down for a moment, reserved for it meanwhile."""

import contextlib
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def reserved_ports(host: str, *ports: int) -> Iterator[None]:
    """Reserve ports that nobody listens on: the system gives a port that is let go to whoever asks.

    Clients are refused meanwhile, and the server can listen again within. Only Linux lets it do so
    beside the one that reserves the port; elsewhere, and where it is gone already, it is not.
    """
    with ExitStack() as stack:
        for port in ports if sys.platform == "linux" else ():
            keeper = stack.enter_context(socket.socket())
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                keeper.bind((host, port))
        yield
