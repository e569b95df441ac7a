"""An API that a test asks as whoever it likes."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.management.api.stage import ApiStage, api_on
from worker.testing.local_openiap import LocalOpenIAP


@pytest.fixture
async def stage(openiap: LocalOpenIAP) -> AsyncIterator[ApiStage]:
    async with api_on(openiap) as running:
        yield running
