"""Who acts: the user behind a command."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in user."""

    id: str
    username: str
