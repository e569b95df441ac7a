"""Whose name and which trace a call carries: a scope around it, through context variables."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Optional


@dataclass(frozen=True, slots=True)
class Scope:
    """What the envelopes of one client's calls carry beside the command.

    Attributes:
        owner: the client it is for: a token must not travel to another server.
        jwt: acts as another user for these calls.
        traceid, spanid: the trace that the calls belong to.
    """

    owner: object
    jwt: str = field(default="", repr=False)
    traceid: str = ""
    spanid: str = ""
    outer: Optional["Scope"] = None


_CURRENT: Final[ContextVar[Scope | None]] = ContextVar("openiap_scope", default=None)


def current_scope(owner: object) -> Scope | None:
    """Return the innermost scope of ``owner`` around the caller, or None."""
    scope = _CURRENT.get()
    while scope is not None and scope.owner is not owner:
        scope = scope.outer
    return scope


@contextmanager
def entered(owner: object, jwt: str, traceid: str, spanid: str) -> Iterator[None]:
    """Run what is inside with a scope; what is left "" is taken from the scope around it."""
    around = current_scope(owner)
    scope = Scope(
        owner,
        jwt or (around.jwt if around else ""),
        traceid or (around.traceid if around else ""),
        spanid or (around.spanid if around else ""),
        _CURRENT.get(),
    )
    token = _CURRENT.set(scope)
    try:
        yield
    finally:
        _CURRENT.reset(token)
