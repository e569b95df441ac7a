"""Lists of rights, pure."""

from typing import Any

from tests.cases import each
from worker.localserver.storage.rights import (
    FULL,
    INVOKE,
    READ,
    UPDATE,
    acl_of,
    changed_acl,
    granted,
    may,
    merged,
    new_acl,
)
from worker.localserver.storage.user import ADMINS, User, administrator

ANN = User("ann", "Ann", frozenset({"crew"}))
NAMES = {"ann": "Ann", "bob": "Bob", "crew": "crew", ADMINS: "admins"}


@each(
    ("acl", "right", "has"),
    [
        ([{"_id": "ann", "rights": 18}], READ, True),
        ([{"_id": "ann", "rights": 18}], READ | INVOKE, True),
        ([{"_id": "ann", "rights": 18}], UPDATE, False),
        ([{"_id": "crew", "rights": UPDATE}], UPDATE, True),
        ([{"_id": "bob", "rights": FULL}], READ, False),
        ([{"_id": "ann", "rights": 31}], FULL, False),
        ([{"_id": "ann", "rights": "//////8="}], FULL, True),
        ([{"_id": "ann", "rights": True}, "odd", {}], READ, False),
        (None, READ, False),
    ],
)
def test_a_user_has_what_they_or_their_roles_are_granted(acl: Any, right: int, has: bool) -> None:
    assert granted(ANN, acl, right) is has
    assert may(ANN, acl, right) is has


def test_an_admin_may_everything_and_is_granted_what_is_written() -> None:
    admin = administrator("root")
    assert may(admin, [], FULL)
    assert not granted(admin, [], UPDATE)
    assert granted(admin, new_acl([], admin, NAMES.get), FULL)


def test_a_new_document_is_its_makers_and_a_changed_one_stays_open_to_its_changer() -> None:
    sent = [{"_id": "bob", "rights": READ}, {"_id": "gone", "rights": FULL}, {"_id": "ann"}]
    by_id = {ace["_id"]: ace["rights"] for ace in new_acl(sent, ANN, NAMES.get)}
    assert by_id == {"bob": READ, ADMINS: FULL, "ann": FULL}
    kept = [{"_id": "ann", "rights": READ | UPDATE}]
    assert {a["_id"]: a["rights"] for a in changed_acl(kept, ANN, NAMES.get)} == {
        "ann": READ | UPDATE,
        ADMINS: FULL,
    }
    assert {"ann", ADMINS} == {a["_id"] for a in changed_acl([], ANN, NAMES.get)}


def test_the_same_user_twice_is_one_entry_with_both_rights() -> None:
    twice = [{"_id": "ann", "rights": READ}], [{"_id": "ann", "rights": INVOKE}]
    assert merged(*twice) == [{"_id": "ann", "rights": READ | INVOKE}]


def test_the_rights_on_a_stored_file_are_in_its_metadata() -> None:
    acl = [{"_id": "ann", "rights": READ}]
    assert acl_of("fs.files", {"_acl": [], "metadata": {"_acl": acl}}) == acl
    assert acl_of("fs.files", {"_acl": acl}) is None
    assert acl_of("c", {"_acl": acl}) == acl
