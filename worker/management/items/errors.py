"""What goes wrong with items."""

from collections.abc import Sequence

from worker.management.errors import ConflictError, NotFoundError, ValidationError, named


class ItemNotFoundError(NotFoundError):
    """There is no such item, or this user has no rights on it."""

    def __init__(self, id: str) -> None:
        super().__init__(
            f"There is no item {named(id)}, or this user has no rights on it.", {"id": id[:200]}
        )


class ItemFileNotFoundError(NotFoundError):
    """The item has no such file."""

    def __init__(self, id: str, file: str) -> None:
        super().__init__(
            f"Item {named(id)} has no file {named(file)}.", {"id": id[:200], "file": file[:200]}
        )


class QueueNotFoundError(NotFoundError):
    """There is no such queue, or this user has no rights on it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no queue {named(name)}, or this user has no rights on it. Names are"
            " case-sensitive; see: openiap-worker queues list.",
            {"queue": name[:200]},
        )


class ItemStateError(ConflictError):
    """The item is in a state in which this cannot be done."""


class FilterError(ValidationError):
    """A filter that cannot be; the message names the part, its value and what is allowed."""

    def __init__(self, part: str, value: object, allowed: str) -> None:
        shown = str(value)
        shown = shown if len(shown) <= 100 else f"{shown[:100]}…"
        super().__init__(
            f"Filter {part} = {shown!r}; allowed: {allowed}.",
            {"part": part, "value": shown, "allowed": allowed},
        )


class StateNotTouchedError(ItemStateError):
    """A change of many items touches none of the states that were asked for."""

    def __init__(self, action: str, states: Sequence[str], allowed: Sequence[str]) -> None:
        super().__init__(
            f"{action.capitalize()} touches no items that are {' or '.join(states)}; allowed:"
            f" {', '.join(allowed)}.",
            {"states": list(states), "allowed": list(allowed)},
        )
