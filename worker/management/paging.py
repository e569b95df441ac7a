"""Lists page by page: what is asked for, and what is given."""

from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")
F = TypeVar("F")
S = TypeVar("S")

MOST: Final = 100
FURTHEST: Final = 1_000_000
"""A server walks over all that is left out before a page."""

Direction = Literal["asc", "desc"]


class PaginationParams(BaseModel, Generic[F, S]):
    """Which page of what, in which order.

    Attributes:
        limit: items on a page, 1 to 100.
        offset: how many are left out before it.
        sort_by: one of the fields that the list can be sorted by.
        filter: what the items fulfil.
    """

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=MOST)
    offset: int = Field(default=0, ge=0, le=FURTHEST)
    sort_by: S
    sort_direction: Direction = "desc"
    filter: F


class PageAsked(BaseModel):
    """Which page, as a query string asks for it; what a feature's lists have beside it stands
    there."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=MOST, examples=[50])
    offset: int = Field(default=0, ge=0, le=FURTHEST, examples=[0])
    sort_direction: Direction = "asc"

    def page(self) -> dict[str, Any]:
        """Return the page and its order, for a list's ``PaginationParams``; by what it is sorted is
        a field of each feature's own."""
        return self.model_dump(include={"limit", "offset", "sort_by", "sort_direction"})


class PaginatedResponse(BaseModel, Generic[T]):
    """One page.

    Attributes:
        total: how many there are on all pages.
    """

    items: list[T]
    total: int
    limit: int
    offset: int
