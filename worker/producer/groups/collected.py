"""What the item after a group's members is given: their results and errors, within bounds. Pure but
for the pages that it asks for.

A result that finds no room among the ``RESULTS`` bytes of all of them is None, and has an error;
smaller ones after it may find room. Errors beyond ``ERRORS`` bytes are counted in a last entry.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from worker.item.group import more_errors, too_large
from worker.item.group_desk import GroupMember
from worker.item.group_handle import FIRST_PAGE, PAGE, PAGE_BYTES, errors_of_deleted, size_of
from worker.openiap.workitem import JsonObject

RESULTS: Final = 2 * 1024 * 1024
ERRORS: Final = 512 * 1024
"""Together less than what any link carries (server.md, Payload)."""

Page = Callable[[int, int], Awaitable[list[GroupMember]]]


async def collected(group: str, of: int, page: Page, *, gone: bool) -> JsonObject | None:
    """Return ``results`` and ``errors`` of a group's members; None where one has not ended.

    Args:
        page: gives so many members from a place on.
        gone: whether members that are not there were deleted.
    """
    results: list[Any] = [None] * of
    errors: list[JsonObject] = []
    room, after, most, there = RESULTS, 0, FIRST_PAGE, 0
    while some := await page(after, most):
        size = 0
        for member in some:
            if member.n >= of:
                continue
            if not member.ended:
                return None
            missing = list(range(after, member.n))
            if missing and not gone:
                return None
            errors += errors_of_deleted(group, missing)
            after, there = member.n + 1, there + 1
            length = size_of(member.result)
            size += length
            if length > room:
                errors.append(too_large(member, length, RESULTS))
            else:
                room -= length
                results[member.n] = member.result
            if member.error is not None:
                errors.append(member.error)
        after = max(after, some[-1].n + 1)
        most = max(1, most // 4) if size > PAGE_BYTES else min(PAGE, 2 * most)
    if there < of and not gone:
        return None
    errors += errors_of_deleted(group, list(range(after, of)))
    return {"results": results, "errors": _bounded(errors)}


def _bounded(errors: list[JsonObject]) -> list[JsonObject]:
    room = ERRORS
    for place, error in enumerate(errors):
        room -= size_of(error)
        if room < 0:
            return [*errors[:place], more_errors(len(errors) - place)]
    return errors
