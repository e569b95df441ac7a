"""Headers from the command line, and on the page of an item."""

from tests.integration.cli.commands import Cli, answer

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_push_gives_headers_and_the_items_page_shows_them(signed: Cli) -> None:
    answer(signed("queues", "create", "letters", "--json"))
    given = ("--header", "order=4711", "--header", "note=a=b [c]")
    traced = ("--header", f"traceparent={PARENT}")
    (id,) = answer(signed("push", "letters", *given, *traced, "--json"))["ids"]
    page = signed("items", "show", id).stdout
    assert "Headers" in page
    assert "4711" in page
    assert "a=b [c]" in page
    assert PARENT[3:35] in page
    shown = answer(signed("items", "show", id, "--json"))
    assert shown["headers"] == {"order": "4711", "note": "a=b [c]"}


def test_a_header_that_cannot_be_kept_is_refused_before_anything_is_pushed(cli: Cli) -> None:
    for given, said in (
        (("--header", "order"), "--header order: allowed: NAME=TEXT."),
        (("--header", "a b=1"), "--header: the name 'a b'; allowed: up to 32 texts"),
        (("--header", "a=1", "--header", "a=2"), "--header: a is given twice"),
    ):
        refused = cli("push", "letters", *given)
        assert refused.returncode == 2, refused
        assert said in " ".join(refused.stderr.split())
