"""Which transport, host and port an address means."""

from tests.cases import each
from worker.openiap.address import parse_address
from worker.openiap.native.endpoint import Endpoint, endpoint_of


@each(
    ("url", "endpoint"),
    [
        ("ws://localhost:3000", Endpoint("websocket", "localhost", 3000, False)),
        ("ws://localhost:3000/ws/v2", Endpoint("websocket", "localhost", 3000, False)),
        ("http://localhost", Endpoint("websocket", "localhost", 80, False)),
        ("wss://app.openiap.io", Endpoint("websocket", "app.openiap.io", 443, True)),
        ("https://app.openiap.io", Endpoint("websocket", "app.openiap.io", 443, True)),
        ("wss://app.openiap.io:8443", Endpoint("websocket", "app.openiap.io", 8443, True)),
        ("grpc://localhost", Endpoint("grpc", "localhost", 50051, False)),
        ("grpc://localhost:50051", Endpoint("grpc", "localhost", 50051, False)),
        ("grpc://grpc.app.openiap.io:443", Endpoint("grpc", "grpc.app.openiap.io", 443, True)),
        ("grpc://grpc.app.openiap.io", Endpoint("grpc", "grpc.app.openiap.io", 443, True)),
        ("wss://grpc.app.openiap.io", Endpoint("grpc", "grpc.app.openiap.io", 443, True)),
        ("ws://localhost:50051", Endpoint("grpc", "localhost", 50051, False)),
        ("ws://[::1]:3000", Endpoint("websocket", "::1", 3000, False)),
    ],
)
def test_an_address_means_one_endpoint(url: str, endpoint: Endpoint) -> None:
    assert endpoint_of(parse_address(url)) == endpoint


def test_an_ipv6_address_keeps_its_brackets() -> None:
    endpoint = endpoint_of(parse_address("ws://[::1]:3000"))
    assert endpoint.websocket_url == "ws://[::1]:3000/ws/v2"
