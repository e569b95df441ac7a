"""``from worker import sync``: the blocking client, by its documented name.

It is ``worker.producer.sync``, and what takes items is handed to it here.
"""

from typing import Any

from worker.engine.pulling.pulls import EnginePulls
from worker.producer.blocking_pushed import BlockingPushed as Pushed
from worker.producer.blocking_taking import BlockingTakenItem as TakenItem
from worker.producer.producer import Checks
from worker.producer.sync import Closed
from worker.producer.sync import OpenIAP as WithoutItems
from worker.settings import Settings

__all__ = ["Closed", "OpenIAP", "Pushed", "TakenItem", "connect"]


class OpenIAP(WithoutItems):
    """A connection used by blocking code; ``with`` it, or ``open`` and ``close`` it.

    Args:
        settings, contracts, values: as for ``worker.connect``.
    """

    def __init__(
        self, settings: Settings | None = None, *, contracts: Checks | None = None, **values: Any
    ) -> None:
        super().__init__(settings, contracts=contracts, pulling=EnginePulls, **values)


def connect(
    settings: Settings | None = None, *, contracts: Checks | None = None, **values: Any
) -> OpenIAP:
    """Return a connection to use in ``with``; arguments as for ``worker.connect``."""
    return OpenIAP(settings, contracts=contracts, **values)
