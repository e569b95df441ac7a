"""Which mailbox is a worker's own, so that its commands count."""

from typing import Any

from tests.cases import each
from worker.engine.fleet.mailbox import (
    ADMINS,
    FULL,
    NOT_SEALED,
    STEERS,
    Seal,
    refusal_of,
)

SEAL = Seal("mailbox-1", "5ea1", {"me": FULL, "op": STEERS, ADMINS: FULL})
ACL = [
    {"_id": "me", "name": "me", "rights": FULL},
    {"_id": "op", "name": "op", "rights": STEERS},
    {"_id": ADMINS, "name": "admins", "rights": FULL},
]


@each(
    ("change", "why"),
    [
        ({}, ""),
        ({"_acl": ACL[:1]}, ""),
        ({"_id": "mailbox-2"}, "not the document"),
        ({"seal": "5ea2"}, NOT_SEALED),
        ({"seal": None}, NOT_SEALED),
        ({"seal": "é"}, NOT_SEALED),
        ({"seal": "\ud800"}, NOT_SEALED),
        ({"_acl": [*ACL, {"_id": "users", "name": "users", "rights": 6}]}, "names users"),
        ({"_acl": [ACL[0], {"_id": "op", "name": "op", "rights": FULL}]}, "names op"),
        ({"_acl": [{"_id": "op", "name": "op", "rights": "all"}]}, "names op"),
        ({"_acl": [{"_id": "op", "name": "op", "rights": -1}]}, "names op"),
        ({"_acl": [5]}, "names somebody else"),
        ({"_acl": []}, "no list of rights"),
        ({"_acl": None}, "no list of rights"),
    ],
)
def test_a_mailbox_counts_only_as_this_worker_made_it(change: dict[str, Any], why: str) -> None:
    said = refusal_of({"_id": "mailbox-1", "seal": "5ea1", "_acl": ACL, **change}, SEAL)
    assert why in said
    assert bool(said) == bool(why)
