"""Addresses are mapped as the Rust client maps them (protocol.md, Transports)."""

import pytest

from tests.cases import each
from worker.openiap.address import parse_address
from worker.openiap.errors import NotConnected


@each(
    ("url", "link", "web"),
    [
        ("ws://host:3000", "ws://host:3000", "http://host:3000"),
        ("ws://host:3000/ws/v2", "ws://host:3000", "http://host:3000"),
        ("http://host:3000", "ws://host:3000", "http://host:3000"),
        ("https://app.openiap.io", "wss://app.openiap.io", "https://app.openiap.io"),
        ("wss://app.openiap.io", "wss://app.openiap.io", "https://app.openiap.io"),
        ("wss://host:8443", "wss://host:8443", "https://host:8443"),
        ("grpc://host:50051", "grpc://host:50051", "http://host:3000"),
        ("grpc://grpc.openiap.io:443", "grpc://grpc.openiap.io:443", "https://openiap.io"),
        ("ws://[::1]:3000", "ws://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_where_the_protocol_and_http_are(url: str, link: str, web: str) -> None:
    address = parse_address(url)
    assert (address.link, address.web) == (link, web)


def test_credentials_are_taken_out_and_never_shown() -> None:
    address = parse_address("wss://zo%C3%AB:p%40ss@host/path?x=y")
    assert (address.username, address.password) == ("zoë", "p@ss")
    assert address.link == "wss://host"
    assert "p@ss" not in repr(address)
    assert "p%40ss" not in repr(address)


@pytest.mark.parametrize("url", ["", "ftp://host", "ws://", "ws://host:port", "://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(NotConnected):
        parse_address(url)


@each(
    "url",
    [
        "ftp://user:hidden@host/?jwt=hidden",
        "ws://user:hidden/x@host:80",
        "ws://user:hidden#x@host",
        "ws://user:hidden?x@host",
        "ws://user:hidden@[::1",
        "ws:///user:hidden@host",
        "ws://user:hidden@h\u2100st",
        "ws://user:hidden@ho st",
        "ftp://host/hidden",
    ],
)
def test_a_refused_address_hides_its_password(url: str) -> None:
    with pytest.raises(NotConnected) as caught:
        parse_address(url)
    assert "hidden" not in str(caught.value)
