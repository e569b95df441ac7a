"""A port that is kept is nobody's but its server's."""

import socket
import sys

import pytest

from worker.testing.reserved_ports import reserved_ports


def listening(port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen()
    return server


def test_a_kept_port_refuses_clients_and_other_programs_and_takes_its_server_back() -> None:
    with listening(0) as first:
        port = int(first.getsockname()[1])
    with reserved_ports("127.0.0.1", port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 60)
        if sys.platform == "linux":
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
        with listening(port), socket.create_connection(("127.0.0.1", port), 60):
            pass
        with listening(port), reserved_ports("127.0.0.1", port):
            pass  # too late is no error
