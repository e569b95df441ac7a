"""Items counted by queue and state without mongomock, which would take each of them in. Pure.

``$match`` in front, one ``$group`` by fields of these, ``$limit`` at the end: what lists of queues
ask. Every other pipeline is mongomock's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.localserver.operations.item_conditions import CREATED
from worker.localserver.storage import json_text
from worker.localserver.storage.item_counts import Place

BY: Final = ("wiq", "state")
COUNT: Final = {"$sum": 1}
OLDEST: Final = {"$min": {"$max": ["$nextrun", "$_created"]}}
_MADE: Final = f"CAST(ROUND((julianday({CREATED}) - 2440587.5) * 86400000) AS INTEGER)"
_SQL: Final = f"MIN(MAX(ifnull(nextrun, 0), ifnull({_MADE}, 0)))"
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """What is asked for.

    Attributes:
        match: MongoDB's query language.
        by: name in ``_id`` to the field.
        told: name to ``COUNT`` or ``OLDEST``.
        most: groups.
    """

    match: dict[str, Any]
    by: Mapping[str, str]
    told: Mapping[str, Any]
    most: int

    @property
    def columns(self) -> str:
        """What SQL selects: the fields, then what is told."""
        told = ("COUNT(*)" if one == COUNT else _SQL for one in self.told.values())
        return ", ".join([*self.by.values(), *told])

    @property
    def counts_alone(self) -> bool:
        """Whether nothing is told but how many there are."""
        return all(one == COUNT for one in self.told.values())

    def held(self, held: Mapping[Place, int]) -> list[dict[str, Any]]:
        """Return the groups of items of which the numbers are known."""
        rows: dict[Row, int] = {}
        for place, count in held.items():
            values = dict(zip(BY, place, strict=True))
            by = tuple(values[field] for field in self.by.values())
            rows[by] = rows.get(by, 0) + count
        told = len(self.told)
        return self.documents((*by, *[count] * told) for by, count in sorted(rows.items()))

    def documents(self, rows: Iterable[Row]) -> list[dict[str, Any]]:
        """Return rows of ``columns`` as MongoDB's documents."""
        made = []
        for row in rows:
            values = dict(zip(self.told, row[len(self.by) :], strict=True))
            for name, value in values.items():
                if self.told[name] != COUNT:
                    values[name] = json_text.write_date(value)
            made.append({"_id": dict(zip(self.by, row, strict=False)), **values})
        return made[: self.most]

    def counted(self, items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the groups of documents of items."""
        rows: dict[Row, list[int]] = {}
        for item in items:
            since = 0
            for name in ("nextrun", "_created"):
                since = max(since, json_text.read_date(item.get(name)) or 0)
            row = rows.setdefault(tuple(item.get(name) for name in self.by.values()), [0, since])
            row[0] += 1
            row[1] = min(row[1], since)
        return self.documents(
            (*by, *(count if one == COUNT else since for one in self.told.values()))
            for by, (count, since) in rows.items()
        )


def grouping_of(stages: object) -> Grouping | None:
    """Return what a pipeline asks for; None where it is another one."""
    if not isinstance(stages, list) or [list(one) for one in stages if isinstance(one, dict)] != [
        ["$match"],
        ["$group"],
        ["$limit"],
    ]:
        return None
    match, group, most = stages[0]["$match"], stages[1]["$group"], stages[2]["$limit"]
    if not (
        isinstance(match, dict) and isinstance(group, dict) and isinstance(group.get("_id"), dict)
    ):
        return None
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        return None
    by, told = group["_id"], {name: one for name, one in group.items() if name != "_id"}
    if not by or any(one not in [f"${field}" for field in BY] for one in by.values()):
        return None
    if any(one not in (COUNT, OLDEST) or type(one.get("$sum")) is bool for one in told.values()):
        return None
    return Grouping(match, {name: field[1:] for name, field in by.items()}, told, most)
