"""Every route by its own description: no answer is a 5xx, and each is as it is described.

Schemathesis makes requests of what OpenAPI says, sound ones and others. It asks from a thread:
its calls block, and the API is on this loop.
"""

import asyncio
from typing import Any

import hypothesis
import pytest

from tests.integration.management.api.stage import PREFIX, ApiStage, api_on
from tests.integration.management.failures import four_failures
from worker.management.api.options import Limits
from worker.testing.local_openiap import LocalOpenIAP

pytestmark = pytest.mark.dear
EXAMPLES = 12
MANY = 10**6
PLENTY = Limits(calls=MANY, burst=MANY, sign_ins_per_address=MANY, jobs=MANY, jobs_of_user=MANY)


def ask_everything(
    description: dict[str, Any], url: str, token: str, ids: list[str], names: list[str]
) -> set[str]:
    """Ask every operation many things; returns those that were asked.

    Args:
        ids, names: of items and queues, most of which there are.
    """
    # Here and not above: it takes longer to import than other tests to run.
    import schemathesis
    from schemathesis.specs.openapi import checks

    described = [
        schemathesis.checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    schema = schemathesis.openapi.from_dict(description)
    headers = {"Authorization": f"Bearer {token}"}
    asked: set[str] = set()
    problems: list[str] = []

    def check(operation: Any) -> None:
        @hypothesis.given(
            case=operation.as_strategy(),
            id=hypothesis.strategies.sampled_from(ids),
            name=hypothesis.strategies.sampled_from(names),
        )
        @hypothesis.settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        def ask(case: Any, id: str, name: str) -> None:
            if "id" in case.path_parameters:
                case.path_parameters["id"] = id
            elif "name" in case.path_parameters and operation.path.startswith(f"{PREFIX}/queues"):
                case.path_parameters["name"] = name
            case.call_and_validate(base_url=url, headers=headers, checks=described)

        asked.add(operation.label)
        try:
            ask()
        except BaseExceptionGroup as group:
            problems.append(f"{operation.label}: {group}")

    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.label != f"DELETE {PREFIX}/session":
            check(operation)
    assert not problems, "\n\n".join(problems)
    return asked


async def test_whatever_is_asked_is_answered_as_described(openiap: LocalOpenIAP) -> None:
    made = await four_failures(openiap)
    async with api_on(openiap, PLENTY) as stage:
        description, token = await described(stage), await stage.token(stage.boss)
        ids = [*made["gone"], "0123456789abcdef01234567"]
        names = [*(f"queue-{n}" for n in range(20)), "orders", "a/b", "nowhere"]
        for name in names[:-1]:
            openiap.queue(name)
        asked = await asyncio.to_thread(ask_everything, description, stage.url, token, ids, names)
        assert len(asked) > 40
        wrong = [line for line in stage.lines if line.startswith("error")]
    assert wrong == []


async def described(stage: ApiStage) -> dict[str, Any]:
    async with stage.asking() as http:
        found: dict[str, Any] = (await http.get("/openapi.json")).json()
    return found
