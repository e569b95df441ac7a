"""Settings in force: of this console; each value, and where it comes from."""

from typing import Any, Final

from nicegui import ui

from worker.console.live import subjects
from worker.console.page import Page
from worker.console.parts.boxes import card, page_head
from worker.console.parts.tables import Column, Table
from worker.console.parts.texts import text
from worker.console.visits import Visit
from worker.settings import Loaded, Settings

COLUMNS: Final = (
    Column("name", "Setting"),
    Column("value", "Value", rest=True),
    Column("source", "From", wide=True),
)
DEFAULT: Final = "default"
COMMAND: Final = "this command"


async def build(visit: Visit) -> None:
    """Draw the page."""
    with page_head("Settings in force"):
        search = ui.input(placeholder="Search").props("outlined dense clearable")
        search.props('aria-label="Search settings" data-search')
    text(
        "Those of this console; credentials are never shown, and used for nobody who signs in."
        " Those of a worker are told where it runs, by openiap-worker doctor.",
        "p",
        "quiet lead",
    )
    rows = rows_of(Loaded(visit.api.settings, visit.api.sources, {}))
    given = [row for row in rows if row["source"] != DEFAULT]
    left = [row for row in rows if row["source"] == DEFAULT]
    tables = []
    for title, some, columns in (("Set", given, COLUMNS), ("Left as they are", left, COLUMNS[:2])):
        if some:
            with card(title):
                table = Table(title, columns, key="name")
                table.set(some)
                tables.append(table)

    def sift() -> None:
        for table in tables:
            table.element.set_filter(search.value or "")

    search.on_value_change(sift)
    # Nothing here comes from OpenIAP; that it is away is told on every page.
    visit.look(subjects.counts(), lambda _: None)


def rows_of(loaded: Loaded) -> list[dict[str, Any]]:
    """Return what is told of each setting: nothing secret is among it."""
    return [
        {
            "name": name,
            "value": loaded.shown(name),
            "source": loaded.sources.get(name) or _unsaid(loaded.settings, name),
        }
        for name in sorted(Settings.model_fields)
    ]


def _unsaid(settings: Settings, name: str) -> str:
    """Return where a value is from that nobody has given: some commands have their own."""
    usual = Settings.model_fields[name].get_default(call_default_factory=True)
    return DEFAULT if getattr(settings, name) == usual else COMMAND


PAGE = Page("/settings", "Settings", "settings", build)
