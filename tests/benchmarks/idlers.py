"""Five handlers that wait for items that never come."""

from typing import Any

from worker import handler
from worker.app.options import Handler


def _idler(n: int) -> Handler[..., Any]:
    @handler(f"idle{n}")
    async def idle(payload: dict[str, Any]) -> None:
        """Do nothing."""

    return idle


idle1, idle2, idle3, idle4, idle5 = (_idler(n) for n in range(1, 6))
