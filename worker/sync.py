"""``from worker import sync``: the blocking client, by its documented name.

It is ``worker.producer.sync``.
"""

from worker.producer.sync import Closed, OpenIAP, Pushed, connect

__all__ = ["Closed", "OpenIAP", "Pushed", "connect"]
