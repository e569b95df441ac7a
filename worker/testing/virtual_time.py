"""Virtual time: the server's clock runs ahead of this process's by as much as the test says.

1. Only the server's clock is moved; nobody here waits, and nobody's own clock is touched.
2. A client in this process goes on to speak in this process's time: moments that it sends are
   moved ahead on their way to the server, moments that come back are moved back. So "in an hour"
   means an hour from what the server takes for now, however often time was moved.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from worker.openiap.client import Client
from worker.openiap.workitem import Workitem


class VirtualClock:
    """A clock that can be moved ahead; call it for seconds since 1970."""

    def __init__(self) -> None:
        self.ahead = 0.0
        """Seconds that it runs ahead of the real time."""

    def __call__(self) -> float:
        return time.time() + self.ahead

    def advance(self, seconds: float) -> None:
        """Move it ahead.

        Raises:
            ValueError: backwards.
        """
        if seconds < 0:
            raise ValueError(f"time cannot be moved by {seconds:g} s: it only goes ahead")
        self.ahead += seconds

    def there(self, moment: datetime) -> datetime:
        """Return a moment of this process in the server's time."""
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware + timedelta(seconds=self.ahead)

    def here(self, moment: datetime) -> datetime:
        """Return a moment of the server in this process's time."""
        return moment - timedelta(seconds=self.ahead)


class _TimedClient:
    """A client whose moments are moved on their way; everything else is the client's own."""

    _client: Client
    _clock: VirtualClock

    def __init__(self, client: Client, clock: VirtualClock) -> None:
        object.__setattr__(self, "_client", client)
        object.__setattr__(self, "_clock", clock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._client, name, value)

    async def push_workitem(
        self, wiq: str = "", payload: Any = None, *, nextrun: datetime | None = None, **more: Any
    ) -> Workitem:
        pushed = await self._client.push_workitem(wiq, payload, nextrun=self._out(nextrun), **more)
        return self._back(pushed)

    async def push_workitems(
        self,
        wiq: str,
        items: Sequence[Workitem],
        *,
        nextrun: datetime | None = None,
        **more: Any,
    ) -> list[Workitem]:
        moved = [replace(item, nextrun=self._out(item.nextrun)) for item in items]
        pushed = await self._client.push_workitems(wiq, moved, nextrun=self._out(nextrun), **more)
        return [self._back(item) for item in pushed]

    async def update_workitem(
        self, workitem: Workitem, files: Any = (), *args: Any, **more: Any
    ) -> Workitem:
        moved = replace(workitem, nextrun=self._out(workitem.nextrun))
        return self._back(await self._client.update_workitem(moved, files, *args, **more))

    def _out(self, moment: datetime | None) -> datetime | None:
        return None if moment is None else self._clock.there(moment)

    def _back(self, workitem: Workitem) -> Workitem:
        if workitem.nextrun is None:
            return workitem
        return replace(workitem, nextrun=self._clock.here(workitem.nextrun))


def in_virtual_time(client: Client, clock: VirtualClock) -> Client:
    """Return a client that speaks in this process's time to a server under ``clock``."""
    return cast(Client, _TimedClient(client, clock))
