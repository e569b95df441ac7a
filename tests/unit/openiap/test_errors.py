"""Errors are typed from the texts of the server and of the client library."""

import pytest

from tests.cases import each
from worker.openiap.errors import (
    AccessDenied,
    Disconnected,
    DocumentNotFound,
    DuplicateKey,
    ItemNotFound,
    NotConnected,
    NotSignedIn,
    OpenIAPError,
    QueueNotFound,
    RateLimited,
    RequestTimeout,
    RightsMissing,
    ServerError,
    clean,
    error_from_text,
)

TEXTS: list[tuple[str, type[OpenIAPError]]] = [
    ("Work item queue not found X (undefined) not found.", QueueNotFound),
    ("Work item  with _id 5f7f4f not found.", ItemNotFound),
    ("Rate limit exceeded consumedPoints: 31", RateLimited),
    ("tester failed logging in using local", AccessDenied),
    ("Disconnected", Disconnected),
    ("Not connected ( Disconnected )", NotConnected),
    ("Not connected ( Connecting )", NotConnected),
    ("Request timed out", RequestTimeout),
    (
        "Access: Unknown queue X or access denied, missing read permission on queue object",
        AccessDenied,
    ),
    (
        "Access denied popping workitem 6b0a tester is missing invoke rights)",
        RightsMissing,
    ),
    ("Unknown work item queue or tester is missing invoke rights", RightsMissing),
    ("E11000 duplicate key error collection: openflow.things", DuplicateKey),
    ("item w-1 not found in openiap_workers or Access Denied", DocumentNotFound),
    ("ReplaceOne failed, matched 0 documents with query {_id: 'w-1'}", DocumentNotFound),
    ("jwt expired", AccessDenied),
    ("Not signed in, and missing jwt", NotSignedIn),
    ("User not authenticated", NotSignedIn),
    ("Workitemqueue orders not found", QueueNotFound),
    ("Unexpected end of JSON input", ServerError),
    (
        "Illegal state X on Workitem, must be failed, successful, processing or retry",
        ServerError,
    ),
    ("no such type: openiap.NoSuch", ServerError),
]


@each(("text", "kind"), TEXTS)
def test_each_text_has_its_type(text: str, kind: type[OpenIAPError]) -> None:
    error = error_from_text(text, operation="pop_workitem", item_id="5f")
    assert type(error) is kind
    assert error.text == text
    assert (error.operation, error.item_id) == ("pop_workitem", "5f")
    assert str(error) == f"pop_workitem(5f): {text}"


@each(("text", "kind"), TEXTS)
def test_each_text_is_known_inside_what_the_library_wraps_around_it(
    text: str, kind: type[OpenIAPError]
) -> None:
    quoted = text.replace('"', '\\"')
    for wrapped in (
        f'Pop workitem failed: ServerError("\\"{quoted}\\"")',
        f'Signin failed: ServerError("{quoted}")',
        f'Query failed: ClientError("Client Error {quoted}")',
        f'Query failed: ClientError("Custom Error Client Error {quoted}")',
        f"Server error: {text}",
    ):
        error = error_from_text(wrapped)
        assert type(error) is kind, wrapped
        assert error.text == text, wrapped


def test_escapes_of_the_library_are_undone() -> None:
    wrapped = r'Update workitem failed: ServerError("\"a \\\"quoted\\\" name,\\na line, \\u{e9}\"")'
    assert clean(wrapped) == 'a "quoted" name,\na line, é'


@pytest.mark.parametrize("text", ["", " ", '"', "ServerError(", 'ServerError("', "Error: ", '""'])
def test_odd_texts_are_kept_and_never_raise(text: str) -> None:
    assert isinstance(error_from_text(text), ServerError)


def test_only_what_may_have_been_executed_says_so() -> None:
    maybe = {kind for _, kind in TEXTS if kind.maybe_done}
    assert maybe == {Disconnected, RequestTimeout}
