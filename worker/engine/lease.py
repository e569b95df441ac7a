"""The lease: how long nobody else can have an item that was popped here. Pure."""

from worker.settings import Settings


def lease_of(settings: Settings) -> float:
    """Return the seconds from a pop for which nobody else can have taken the item over.

    Others take it once this worker was silent for ``dead_after``, or once the item is older than
    ``unclaimed_after``; a late writer looks well before that, whatever ``lease`` says.
    """
    bounds = [settings.lease, settings.dead_after / 2]
    if settings.unclaimed_after:
        bounds.append(settings.unclaimed_after / 2)
    return min(bounds)
