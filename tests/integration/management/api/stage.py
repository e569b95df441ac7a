"""An API in this process on a real port, before a strict local server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.integration.management.failures import ORDINARY, PASSWORD
from worker.engine.scheduler.timetable import ScheduleEntry
from worker.management.api.api import Api
from worker.management.api.app import application
from worker.management.api.options import ApiOptions, Limits
from worker.management.api.server import ApiServer, Serving
from worker.telemetry.log import Log
from worker.testing.local_openiap import LocalOpenIAP

PREFIX = "/api/v1"


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class ApiStage:
    """What a test has in hand."""

    api: Api
    url: str
    clock: Clock
    lines: list[str]
    openiap: LocalOpenIAP

    @property
    def boss(self) -> dict[str, str]:
        """The credentials of a user who may do everything."""
        environment = self.openiap.environment
        return {
            "username": environment["OPENIAP_USERNAME"],
            "password": environment["OPENIAP_PASSWORD"],
        }

    @property
    def ordinary(self) -> dict[str, str]:
        """Those of one who may do what queues say."""
        return {"username": ORDINARY, "password": PASSWORD}

    @asynccontextmanager
    async def asking(self, token: str = "") -> AsyncIterator[httpx.AsyncClient]:
        """Give an HTTP client, with a session's token."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        base = f"{self.url}{PREFIX}"
        async with httpx.AsyncClient(
            base_url=base, headers=headers, trust_env=False, timeout=30
        ) as http:
            yield http

    async def token(self, credentials: dict[str, str]) -> str:
        """Sign in."""
        async with self.asking() as http:
            answer = await http.post("/session", json=credentials)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    @asynccontextmanager
    async def signed_in(self, credentials: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
        """Give an HTTP client of a user's."""
        async with self.asking(await self.token(credentials)) as http:
            yield http


@asynccontextmanager
async def api_on(
    openiap: LocalOpenIAP,
    limits: Limits | None = None,
    schedules: Sequence[ScheduleEntry] | None = None,
    **options: Any,
) -> AsyncIterator[ApiStage]:
    """Serve an API for a test."""
    serving = Serving(port=0)
    clock, lines = Clock(), list[str]()
    log = Log("debug", write=lambda level, line: lines.append(f"{level} {line}"))
    chosen = ApiOptions(hosts=serving.hosts, limits=limits or Limits(), **options)
    settings = openiap.settings(client="native").model_copy(
        update={"username": "nobody", "reconnect_min": 0.05}
    )
    api = Api(settings, chosen, log, schedules=schedules, clock=clock)
    async with ApiServer(application(api), serving) as server:
        yield ApiStage(api, server.url, clock, lines, openiap)
