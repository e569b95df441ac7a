"""``from worker import sync``: the blocking client, by its documented name.

It is ``worker.producer.sync``.
"""

from worker.producer.sync import BlockingPushed as Pushed
from worker.producer.sync import Closed, OpenIAP, connect

__all__ = ["Closed", "OpenIAP", "Pushed", "connect"]
