"""A real local server, and a console's readers over it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.console.sights import PASSWORD, USER, Stage
from worker.management.api.api import Api
from worker.management.api.options import ApiOptions
from worker.telemetry.log import Log
from worker.testing.local_openiap import LocalOpenIAP


@pytest.fixture
async def openiap(tmp_path: Path) -> AsyncIterator[LocalOpenIAP]:
    async with LocalOpenIAP(tmp_path / "openiap", plain_users={USER: PASSWORD}) as running:
        yield running


@pytest.fixture
async def stage(openiap: LocalOpenIAP) -> AsyncIterator[Stage]:
    settings = openiap.settings(client="native").model_copy(update={"reconnect_min": 0.05})
    api = Api(settings, ApiOptions(), Log("error"))
    await api.start()
    made = Stage(openiap, api)
    try:
        yield made
    finally:
        await made.readers.stop()
        await api.stop()
