"""What ``local_openiap`` promises holds with both clients."""

import pytest


@pytest.fixture(params=["native", "official"])
def openiap_client(request: pytest.FixtureRequest) -> str:
    return str(request.param)
