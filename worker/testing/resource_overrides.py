"""A test's own values in the place of what lifespans and factories would make."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from worker.app.lifespan import Lifespan


def with_overrides(lifespans: Sequence[Lifespan], resources: Mapping[Any, Any]) -> list[Lifespan]:
    """Return lifespans in which these values stand in the place of what they would provide.

    Args:
        resources: by type; by factory, in the place of what ``Resource(factory)`` would make.
    """
    kept = [one for one in lifespans if one.provides not in resources]
    return [*(_constant(kind, value) for kind, value in resources.items()), *kept]


def _constant(kind: Any, value: Any) -> Lifespan:
    async def given() -> AsyncIterator[Any]:
        yield value

    given.__annotations__["return"] = AsyncIterator[kind]
    return Lifespan(given)
