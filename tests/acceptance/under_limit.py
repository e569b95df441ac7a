"""Items worked by one worker as fast as the server's limit lets it."""

from pathlib import Path
from typing import Any

from tests.acceptance.stage import PATIENT, Stage


async def worked_under(
    limit: int, items: int, *, connections: int, rate_limit: int, client: str, folder: Path
) -> list[dict[str, Any]]:
    """Work so many items, each once, and return their documents.

    Args:
        limit: messages per second that the server takes over each connection.
        rate_limit: the worker's setting, with which it begins.
    """
    folder.mkdir()
    async with Stage(folder, "--rate-limit", str(limit), client=client) as stage:
        async with stage.outsider() as outsider:
            await outsider.queue("many", maxretries=3)
            pushed = await outsider.push("many", [{"n": n} for n in range(items)])
        worker = stage.worker(
            "a",
            "many",
            connections=connections,
            rate_limit=rate_limit,
            heartbeat_interval=10,
            dead_after=45,
            unclaimed_after=900,
            rescue_interval=30,
            lease=60,
            **PATIENT,
        )
        await worker.started()
        books = await stage.settled("many", pushed, 180)
        assert books.successful == items
        assert books.runs == (1,) * items
        async with stage.outsider() as outsider:
            return await outsider.items("many")
