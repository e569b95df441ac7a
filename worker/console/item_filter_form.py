"""The form for a filter of items: all that the API and the command line can ask for."""

from typing import Final

from nicegui import ui
from nicegui.element import Element

from worker.console.parts.boxes import box
from worker.console.parts.dialogs import answer_of, cancel_button
from worker.console.parts.item_view import NAMES, ItemView
from worker.console.parts.texts import attribute, clean, text
from worker.management.errors import AppError

HINTS: Final = {
    "queue": "orders",
    "name": "the whole name",
    "error": "any part of the message",
    "error_pattern": "Timeout.*10\\.0",
    "error_code": "GONE",
    "error_class": "TimeoutError",
    "worker": "who failed it last, or works it",
    "key": "customer-4711",
    "attempts": "3, >=3, <3 or 1..3",
    "since": "2h, or 2026-12-24T18:00",
    "until": "2h, or 2026-12-24T18:00",
}
KINDS: Final = {
    "": "any",
    "business": "business: the item is wrong",
    "application": "application: may be retried",
}


async def asked_for_filter(view: ItemView) -> ItemView | None:
    """Ask for another filter of a view; None where it stays."""
    asked: list[ItemView] = []
    with ui.dialog() as dialog, Element("div").classes("dialog wide") as whole:
        whole.props["role"] = "document"
        attribute(dialog, "aria-label", "Filter items")
        text("Filter items", "h2")
        with box("fields"):
            inputs = {
                name: ui.input(NAMES[name], value=clean(view.one_of(name)), placeholder=hint).props(
                    "outlined dense maxlength=500 autocomplete=off"
                )
                for name, hint in HINTS.items()
            }
            kind = view.one_of("error_kind")
            kinds = ui.select(
                KINDS, label=NAMES["error_kind"], value=kind if kind in KINDS else ""
            ).props("outlined dense")
        where = ui.textarea(
            "Payload, a condition a line",
            value="\n".join(map(clean, view.all_of("where"))),
            placeholder="payload.customer=acme\npayload.amount>=10",
        ).props("outlined autogrow spellcheck=false")
        told = text("", "p", "problem")
        told.set_visibility(False)

        def send() -> None:
            found = view
            for name, one in inputs.items():
                found = found.with_part(name, (one.value or "").strip())
            found = found.with_part("error_kind", kinds.value)
            lines = [one.strip() for one in (where.value or "").splitlines()]
            found = found.with_part("where", *(one for one in lines if one))
            try:
                found.filter()
            except AppError as error:
                told.text = clean(error.message)
                told.set_visibility(True)
            else:
                asked[:] = [found]
                dialog.submit(True)

        with box("actions end"):
            cancel_button(lambda: dialog.submit(False))
            ui.button("Show them", on_click=send).props("unelevated no-caps color=primary")
    return asked[0] if await answer_of(dialog) and asked else None
