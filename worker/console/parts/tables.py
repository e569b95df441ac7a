"""Tables: rows are data, and how a column shows them is one of a few templates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from nicegui import ui

from worker.console.parts.boxes import box
from worker.console.parts.texts import clean, is_own
from worker.console.parts.times import exact, machine, relative
from worker.openiap.fields import moment_of

Kind = Literal["text", "number", "moment", "badge", "link"]
Row = Mapping[str, Any]
AGO: Final = "_ago"
"""What the name of a moment's words ends in."""
_TEXT: Final = '<q-td :props="props"><span class="cell">{{ props.value }}</span></q-td>'
_LINK: Final = (
    '<q-td :props="props"><a v-if="props.row.NAME_to" class="link cell" :href="props.row.NAME_to">'
    '{{ props.value }}</a><span v-else class="cell">{{ props.value }}</span></q-td>'
)
_MOMENT: Final = (
    '<q-td :props="props"><time v-if="props.row.NAME_at" class="moment" :key="props.row.NAME_at"'
    ' :datetime="props.row.NAME_at" :title="props.row.NAME_exact">{{ props.row.NAME_ago }}</time>'
    "<span v-else>-</span></q-td>"
)
_BADGE: Final = (
    '<q-td :props="props"><span v-if="props.value" :class="\'badge \' + props.row.NAME_tone">'
    "{{ props.value }}</span></q-td>"
)
_HEAD: Final = (
    '<q-th :props="props" :aria-sort="props.col.order"><a class="head" :href="props.col.to">'
    '{{ props.col.label }}<span aria-hidden="true">{{ props.col.mark }}</span></a></q-th>'
)
TEMPLATES: Final[Mapping[Kind, str]] = {
    "text": _TEXT,
    "number": _TEXT,
    "moment": _MOMENT,
    "badge": _BADGE,
    "link": _LINK,
}


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: of the value in a row, for programs.
        label: for people.
        kind: how its values are shown.
        wide: left out on a narrow screen.
        rest: it takes the width that the others leave, and its texts are broken into lines.
        sortable: by a click on its head, here in the browser.
        to: where a click on its head leads instead: a page of ``url_of``, sorted otherwise.
        order: ``asc`` or ``desc`` where the rows are sorted by it.
    """

    name: str
    label: str
    kind: Kind = "text"
    wide: bool = False
    rest: bool = False
    sortable: bool = True
    to: str = ""
    order: str = ""


class Table:
    """A table whose rows are set anew, in place.

    Args:
        name: what it lists, for those who hear it.
        columns: from left to right.
        key: the value that tells rows apart.
        page: rows on a page; 0 for all.
        select: whether rows can be chosen; called with the keys of those that are.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[Column],
        *,
        key: str = "id",
        page: int = 0,
        select: Callable[[list[str]], None] | None = None,
    ) -> None:
        self._columns = columns
        self._key = key
        self._told: list[dict[str, Any]] = []

        def chosen() -> None:
            if select is not None:
                select([str(row[key]) for row in self._table.selected])

        with box("table"):
            self._table = ui.table(
                rows=[],
                columns=[_column(one) for one in columns],
                row_key=key,
                selection=None if select is None else "multiple",
                pagination={"rowsPerPage": page} if page else None,
                on_select=chosen,
            )
        self._table.props["aria-label"] = name
        self._table.props("flat dense :rows-per-page-options=[] hide-no-data hide-selected-banner")
        if select is not None:
            for slot, template in _selection(key).items():
                self._table.add_slot(slot, template)
        for one in columns:
            template = TEMPLATES[one.kind].replace("NAME", one.name)
            self._table.add_slot(f"body-cell-{one.name}", template)
            if is_own(one.to):
                self._table.add_slot(f"header-cell-{one.name}", _HEAD)

    @property
    def element(self) -> ui.table:
        """NiceGUI's own table, for what is not here."""
        return self._table

    def set(self, rows: Sequence[Row]) -> None:
        """Show other rows; nothing is sent where they are the same."""
        made = [self._row(row) for row in rows]
        told = [_without_ages(row) for row in made]
        if told != self._told:
            self._told = told
            self._table.rows = made
            self._table.update()

    def _row(self, row: Row) -> dict[str, Any]:
        made: dict[str, Any] = {self._key: clean(row[self._key])}
        for column in self._columns:
            name, value = column.name, row.get(column.name)
            if column.kind == "moment":
                found = moment_of(value) if isinstance(value, str) else value
                made[name] = "" if found is None else machine(found)
                made[f"{name}_at"] = made[name]
                made[f"{name}_exact"] = exact(found)
                made[f"{name}{AGO}"] = relative(found)
                continue
            if column.kind == "number" and isinstance(value, int | float):
                made[name] = value
                continue
            made[name] = clean(value)
            if column.kind == "link":
                to = row.get(f"{name}_to") or ""
                made[f"{name}_to"] = to if is_own(to) else ""
            if column.kind == "badge":
                made[f"{name}_tone"] = row.get(f"{name}_tone", "")
        return made


def _without_ages(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without what the browser keeps true by itself."""
    return {name: value for name, value in row.items() if not name.endswith(AGO)}


def _selection(key: str) -> dict[str, str]:
    """Return the boxes that choose rows, with names for those who hear them."""
    box = '<q-checkbox v-model="props.selected" dense'
    return {
        "header-selection": f'{box} aria-label="Choose all of this page" />',
        "body-selection": f"{box} :aria-label=\"'Choose ' + props.row['{key}']\" />",
    }


def _column(column: Column) -> dict[str, Any]:
    classes = " ".join(
        (["wide"] if column.wide else [])
        + (["rest"] if column.rest else [])
        + (["figure"] if column.kind == "number" else [])
    )
    made: dict[str, Any] = {
        "name": column.name,
        "label": column.label,
        "field": column.name,
        "align": "right" if column.kind == "number" else "left",
        "sortable": column.sortable and not column.to,
        "to": column.to,
        "order": {"asc": "ascending", "desc": "descending"}.get(column.order, "none"),
        "mark": {"asc": " \u2191", "desc": " \u2193"}.get(column.order, ""),
        "classes": classes,
        "headerClasses": classes,
    }
    if column.kind == "number":
        made[":format"] = (
            "value => typeof value === 'number' ? value.toLocaleString('en-US') : value"
        )
    return made
