# ruff: noqa: E501, RUF001
"""Error texts as libraries and systems write them: what belongs together, and what does not."""

import time

import pytest

from worker.management.items.grouping import normalised

ONE_GROUP = [
    [
        "httpx.ConnectError: [Errno 111] Connect call failed ('10.0.12.7', 5432)",
        "httpx.ConnectError: [Errno 111] Connect call failed ('::1', 5432, 0, 0)",
    ],
    [
        "host 10.0.12.7 is away",
        "host 192.168.0.17:8080 is away",
        "host 2001:db8::17 is away",
        "host [fe80::1%eth0]:443 is away",
        "host ::1 is away",
        "host ::ffff:10.0.0.1 is away",
        "host 10.0.0.0/8 is away",
    ],
    [
        "Client error '404 Not Found' for url 'https://a.example/x/1'",
        "Client error '404 Not Found' for url 'https://b.example/y?z=2'",
    ],
    [
        "404 Client Error: Not Found for url: https://a.example/1",
        "404 Client Error: Not Found for url: http://127.0.0.1:9/2?q=1",
    ],
    [
        "HTTPSConnectionPool(host='a.example', port=443): Max retries exceeded with url: /v1/orders/17?x=1 (Caused by NewConnectionError('<urllib3.connection.HTTPSConnection object at 0x7f1>: Failed to establish a new connection: [Errno 111] Connection refused'))",
        "HTTPSConnectionPool(host='b.example', port=8443): Max retries exceeded with url: / (Caused by NewConnectionError('<urllib3.connection.HTTPSConnection object at 0x7f2>: Failed to establish a new connection: [Errno 111] Connection refused'))",
    ],
    [
        "HTTPConnectionPool(host='a', port=80): Read timed out. (read timeout=5)",
        "HTTPConnectionPool(host='bb', port=8080): Read timed out. (read timeout=2.5)",
    ],
    [
        'connection to server at "db1" (10.0.0.1), port 5432 failed: Connection refused',
        'connection to server at "db2.example" (::1), port 6543 failed: Connection refused',
    ],
    [
        'duplicate key value violates unique constraint "orders_pkey"\nDETAIL:  Key (id)=(17) already exists.',
        'duplicate key value violates unique constraint "orders_pkey"\nDETAIL:  Key (id)=(18) already exists.',
    ],
    [
        "An error occurred (NoSuchKey) when calling the GetObject operation (reached max retries: 4): x",
        "An error occurred (NoSuchKey) when calling the GetObject operation (reached max retries: 5): x",
    ],
    [
        "An error occurred (403) when calling the HeadObject operation: Forbidden (Request ID: 4442587FB7D0A2F9)",
        "An error occurred (403) when calling the HeadObject operation: Forbidden (Request ID: B7D0A2F94442587F)",
    ],
    [
        "[Errno 2] No such file or directory: '/var/x/1.csv'",
        "[Errno 2] No such file or directory: 'C:\\\\in\\\\2.csv'",
    ],
    [
        "no customer 'O'Brien'",
        "no customer 'Ada'",
        "no customer 'O''Brien'",
        "no customer 'O\\'Brien'",
    ],
    [
        'field "he said \\"no\\" twice" is bad',
        'field "a" is bad',
        'field "a""b" is bad',
    ],
    [
        "timed out after 30s",
        "timed out after 500ms",
        "timed out after 2m30s",
        "timed out after 1.5 s",
        "timed out after 2 minutes",
        "timed out after 0:00:30",
        "timed out after 1 day, 0:00:30",
        "timed out after PT5M",
    ],
    [
        "due 2026-11-28T12:00:00+00:00",
        "due 2026-11-28 12:00",
        "due Sat, 28 Nov 2026 22:43:50 GMT",
        "due 28/Nov/2026:10:11:12 +0000",
        "due Nov 28, 2026",
        "due datetime.datetime(2026, 11, 28, 12, 0)",
        "due datetime.datetime(2026, 11, 28, 12, 0, 1, tzinfo=datetime.timezone.utc)",
        "due 24.12.2026",
        "due Sat Nov 28 22:43:50 2026",
    ],
    [
        "order 1234567 is gone",
        "order 12345678 is gone",
        "order 123456789012 is gone",
    ],
    [
        "order 01ARZ3NDEKTSV4RRFFQ69G5FAV is gone",
        "order 01BX5ZZKBKACTAV9WEVGEMMVRZ is gone",
    ],
    [
        "payment ch_3MmlLrLkdIwHu7ix0snN0B15 is gone",
        "payment ch_1NirD82eZvKYlo2CIvbtLWuY is gone",
    ],
    [
        "commit a1b2c3d is gone",
        "commit 0a1b2c3d is gone",
    ],
    [
        "Cannot connect to host a.example.com:443 ssl:default [Connect call failed ('1.2.3.4', 443)]",
        "Cannot connect to host b:8443 ssl:default [Connect call failed ('::1', 443, 0, 0)]",
    ],
    [
        "Error 111 connecting to localhost:6379. Connection refused.",
        "Error 111 connecting to redis-2.svc:6380. Connection refused.",
    ],
    [
        "body has 5 MB, 1 MB is allowed",
        "body has 12 kB, 1 MB is allowed",
        "body has 17 bytes, 1 MB is allowed",
    ],
    [
        "mail to root@localhost refused",
        "mail to a.b+c@d.example refused",
    ],
    [
        "node3 is away",
        "node12 is away",
    ],
    [
        "no file ./in/a.csv",
        "no file ~/b.csv",
        "no file \\\\server\\share\\c.csv",
        "no file /d",
    ],
    [
        "1 validation error for Invoice\namount\n  Input should be a valid decimal [type=decimal_parsing, input_value='abc', input_type=str]",
        "1 validation error for Invoice\namount\n  Input should be a valid decimal [type=decimal_parsing, input_value='x', input_type=str]",
    ],
    [
        "device 00:1a:2b:3c:4d:5e is away",
        "device ff-1a-2b-3c-4d-5f is away",
    ],
    [
        "bad token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def",
        "bad token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIyIn0.x_y",
    ],
    [
        "(sqlite3.OperationalError) no such table: a\n[SQL: x]",
        "(sqlite3.OperationalError) no such table: a\n[SQL: y]",
    ],
    [
        "Expecting value: line 1 column 1 (char 0)",
        "Expecting value: line 12 column 5 (char 112)",
    ],
    [
        "it is -5 degrees",
        "it is 5 degrees",
        "it is 1.5e-3 degrees",
    ],
    [
        "run urn:uuid:123e4567-e89b-12d3-a456-426614174000 died",
        "run urn:uuid:00000000-0000-0000-0000-000000000001 died",
    ],
    [
        "run job_123e4567-e89b-12d3-a456-426614174000 died",
        "run job_00000000-0000-0000-0000-000000000001 died",
    ],
    [
        "no key “a b”",
        "no key „c“",
        "no key «d»",
        "no key ‘it’s’",
    ],
    [
        'answered {"id": 17, "name": "x"}',
        'answered {"id": 18, "name": "y\\"z"}',
    ],
]

SEVERAL_GROUPS = [
    [
        "Client error '404 Not Found' for url 'https://a/1'",
        "Client error '401 Unauthorized' for url 'https://a/1'",
    ],
    [
        "[Errno 111] failed",
        "[Errno 113] failed",
    ],
    [
        "HTTP 404 from the bank",
        "HTTP 503 from the bank",
    ],
    [
        "status code: 404",
        "status code: 503",
    ],
    [
        "returned non-zero exit status 1.",
        "returned non-zero exit status 137.",
    ],
    [
        "1 validation error for Invoice\namount\n  Field required [type=missing, input_value={}, input_type=dict]",
        "1 validation error for Invoice\nnumber\n  Field required [type=missing, input_value={}, input_type=dict]",
    ],
    [
        "S3 is away",
        "EC2 is away",
    ],
    [
        "std::bad_alloc",
        "std::bad_cast",
    ],
    [
        "it's Ada's",
        "it's Bob's",
    ],
    [
        "H2ProtocolError: x",
        "H2StreamError: x",
    ],
    [
        "X509CertificateError: x",
        "X509NameError: x",
    ],
    [
        "a: b",
        "a: c",
    ],
    [
        "Errors:\nno price",
        "Errors:\nno stock",
    ],
    [
        "amount: 17",
        "price: 17",
    ],
    [
        "input/output error",
        "input/output failure",
    ],
    [
        "a :: b",
        "c :: b",
    ],
    [
        "postal code 12345",
        "house code 12345",
    ],
]


@pytest.mark.parametrize("messages", ONE_GROUP, ids=lambda messages: messages[0][:40])
def test_what_a_library_says_of_another_value_is_one_group(messages: list[str]) -> None:
    assert len({normalised(message) for message in messages}) == 1, list(map(normalised, messages))


@pytest.mark.parametrize("messages", SEVERAL_GROUPS, ids=lambda messages: messages[0][:40])
def test_what_a_library_says_of_another_failure_is_another_group(messages: list[str]) -> None:
    assert len({normalised(message) for message in messages}) == len(messages)


@pytest.mark.parametrize("kept", ["sqlite3.OperationalError: x", "H2ProtocolError: [Errno 17] x"])
def test_names_and_numbers_of_errors_stay(kept: str) -> None:
    assert normalised(kept)[1] == kept


@pytest.mark.parametrize(
    "hostile", ["\u2018", "'1:", "/'a", '""', "\\'", "[::", "aA1_", "1 s ", "1.1.1.1", "eyJ", "0a"]
)
def test_no_message_is_looked_at_for_long(hostile: str) -> None:
    began = time.process_time()
    normalised(hostile * 5_000)
    assert time.process_time() - began < 0.2
