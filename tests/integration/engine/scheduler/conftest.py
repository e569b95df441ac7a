"""Both clients, under virtual time."""

import pytest

from worker.testing import local_workers


@pytest.fixture(params=["native", "official"])
def openiap_client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reply is lost on purpose here: a machine that stands still must not look like that."""
    monkeypatch.setitem(local_workers.QUICK, "call_timeout", 60)
