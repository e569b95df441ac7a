"""A view of items is what its address says, and what cannot be asked is told in a sentence."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from worker.console.parts.item_view import searched, view_of
from worker.management.errors import ValidationError


@pytest.mark.parametrize(
    "address",
    [
        "/items",
        "/items?queue=a+b%26c&state=new&state=failed&where=payload.a%3D1&where=payload.b%3E2",
        "/items?id=1&id=2&attempts=%3E%3D3&sort=modified&direction=asc&page=7",
    ],
)
def test_an_address_comes_back_as_it_was(address: str) -> None:
    view = view_of(parse_qsl(urlsplit(address).query))
    assert view.url == address
    assert view.filter().queue == (view.one_of("queue") or None)


def test_another_filter_begins_at_the_first_page() -> None:
    view = view_of([("queue", "a"), ("page", "9")])
    assert view.with_part("state", "new").url == "/items?queue=a&state=new"
    assert view.without(("queue", "a")).url == "/items"
    assert view.sorted_by("created").url == "/items?queue=a&sort=created&direction=asc"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("state", "lost"), "Filter state = 'lost'; allowed: new"),
        (("sort", "size"), "Filter sort = 'size'; allowed: created"),
        (("page", "0"), "Page '0'; allowed: 1 to"),
        (("page", "9" * 5_000), "allowed: 1 to"),
        (("colour", "red"), "There is no filter 'colour'; allowed: queue"),
    ],
)
def test_what_there_is_not_is_refused(given: tuple[str, str], told: str) -> None:
    with pytest.raises(ValidationError) as raised:
        view_of([given])
    assert told in raised.value.message


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("65f2c1d4a0b1c2d3e4f50617", ("id", "65f2c1d4a0b1c2d3e4f50617")),
        (" payload.customer = acme ", ("where", "payload.customer = acme")),
        ("payload.customer", ("error", "payload.customer")),
        ("name=call 3", ("name", "call 3")),
        ("a = b is gone", ("error", "a = b is gone")),
    ],
)
def test_the_search_knows_what_is_meant(typed: str, meant: tuple[str, str]) -> None:
    assert searched(typed) == [meant]
