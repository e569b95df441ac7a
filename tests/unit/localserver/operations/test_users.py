"""Users: what their passwords are kept as."""

import time

import pytest

from worker.localserver.operations import users
from worker.localserver.operations.users import COST, Credentials, _hash, verify_password


def test_guessing_passwords_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert COST >= 2**14
    monkeypatch.setattr(users, "COST", COST)  # other tests of this process may have made it less
    salt = bytes(16)
    kept = Credentials("id", salt, _hash("correct horse", salt))
    began = time.thread_time()
    assert verify_password(kept, "correct horse")
    assert not verify_password(kept, "correct horses")
    assert time.thread_time() - began > 0.02
