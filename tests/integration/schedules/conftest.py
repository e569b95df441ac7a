"""Both clients, under virtual time."""

import pytest


@pytest.fixture(params=["native", "official"])
def openiap_client(request: pytest.FixtureRequest) -> str:
    return str(request.param)
