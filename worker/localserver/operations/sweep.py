"""The sweep: documents whose time is over by an index of their collection are removed.

As MongoDB does it: once a minute, so a document may stay for a minute longer.
"""

from datetime import UTC, datetime

from worker.localserver.operations.services import Services


class Sweep:
    """Removes what is over, on one server's clock."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def round(self) -> None:
        """Remove what is over now."""
        services = self._services
        now = datetime.fromtimestamp(services.options.clock(), UTC)
        for expiry in services.collections.expiries():
            found = services.queries.matching(expiry.collection, {}, payloads=False)
            for document in [one for one in found if expiry.is_over(one, now)]:
                services.documents.expire(expiry.collection, document)
        services.replies.schedule()
