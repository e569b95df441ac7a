"""Attempts that are given back: an item whose worker seemed dead has a higher number than it had
attempts (``fleet/takeover.py``), and the server knows the number alone.
"""

from worker.engine.fleet.deaths import read_deaths
from worker.openiap.pool import Pool
from worker.openiap.workitem import Workitem


async def raised_by(pool: Pool, workitem: Workitem) -> int:
    """Return by how much an item's number is higher than the attempts that it had.

    Raises:
        OpenIAPError: the server could not be asked, or refuses.
    """
    if not workitem.retries:
        return 0
    deaths = await read_deaths(pool, workitem.id)
    return min(len(deaths.raised), workitem.retries)


async def gives_back(pool: Pool, workitem: Workitem, allowed: int) -> bool:
    """Tell whether an item is due another attempt although its number says that it is not.

    Args:
        allowed: how many attempts its queue allows.

    Raises:
        OpenIAPError: the server could not be asked, or refuses.
    """
    if not workitem.retries or workitem.retries + 1 < allowed:
        return False
    return workitem.retries + 1 - await raised_by(pool, workitem) < allowed
