"""A server with an ordinary user, and clients of either kind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.management.failures import ORDINARY, PASSWORD
from worker.openiap.client import Client
from worker.openiap.factory import make_client
from worker.testing.local_openiap import LocalOpenIAP


@pytest.fixture
async def openiap(tmp_path: Path) -> AsyncIterator[LocalOpenIAP]:
    plain = {ORDINARY: PASSWORD}
    async with LocalOpenIAP(tmp_path / "openiap", plain_users=plain) as running:
        yield running


@pytest.fixture(params=["native", "official"])
async def client(request: pytest.FixtureRequest, openiap: LocalOpenIAP) -> AsyncIterator[Client]:
    made = make_client(openiap.settings(client=request.param))
    await made.connect()
    try:
        yield made
    finally:
        await made.disconnect()


@pytest.fixture
async def ordinary(openiap: LocalOpenIAP) -> AsyncIterator[Client]:
    made = make_client(openiap.settings(username=ORDINARY, password=PASSWORD))
    await made.connect()
    try:
        yield made
    finally:
        await made.disconnect()
