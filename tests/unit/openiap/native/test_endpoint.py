"""Which transport, host and port an address means."""

import pytest

from worker.openiap.address import parse_address
from worker.openiap.native.target import Target, target_of


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("ws://localhost:3000", Target("websocket", "localhost", 3000, False)),
        ("ws://localhost:3000/ws/v2", Target("websocket", "localhost", 3000, False)),
        ("http://localhost", Target("websocket", "localhost", 80, False)),
        ("wss://app.openiap.io", Target("websocket", "app.openiap.io", 443, True)),
        ("https://app.openiap.io", Target("websocket", "app.openiap.io", 443, True)),
        ("wss://app.openiap.io:8443", Target("websocket", "app.openiap.io", 8443, True)),
        ("grpc://localhost", Target("grpc", "localhost", 50051, False)),
        ("grpc://localhost:50051", Target("grpc", "localhost", 50051, False)),
        ("grpc://grpc.app.openiap.io:443", Target("grpc", "grpc.app.openiap.io", 443, True)),
        ("grpc://grpc.app.openiap.io", Target("grpc", "grpc.app.openiap.io", 443, True)),
        ("wss://grpc.app.openiap.io", Target("grpc", "grpc.app.openiap.io", 443, True)),
        ("ws://localhost:50051", Target("grpc", "localhost", 50051, False)),
        ("ws://[::1]:3000", Target("websocket", "::1", 3000, False)),
    ],
)
def test_an_address_means_one_target(url: str, target: Target) -> None:
    assert target_of(parse_address(url)) == target


def test_an_ipv6_address_keeps_its_brackets() -> None:
    target = target_of(parse_address("ws://[::1]:3000"))
    assert target.websocket_url == "ws://[::1]:3000/ws/v2"
