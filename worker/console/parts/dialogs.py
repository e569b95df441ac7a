"""Dialogs: a question before what cannot be undone, or what concerns many."""

from collections.abc import Callable
from typing import Any

from nicegui import ui
from nicegui.element import Element

from worker.console.parts.boxes import box
from worker.console.parts.texts import attribute, text


def cancel_button(act: Callable[[], object], words: str = "Cancel") -> None:
    """Show the button that leaves a dialog."""
    ui.button(words, on_click=act, color=None).props("flat no-caps")


async def answer_of(dialog: ui.dialog) -> Any:
    """Open a dialog and return what it was left with; None where it was closed, or the page was."""
    try:
        return await dialog
    finally:
        if not dialog.is_deleted:
            dialog.delete()


async def confirmed(
    title: str, sentence: str, yes: str, *, typed: str = "", danger: bool = True
) -> bool:
    """Ask, and return whether it is to be done.

    Args:
        title: a question: "Delete queue orders?"
        sentence: what it does, and that it cannot be undone where it cannot.
        yes: words of the button that does it.
        typed: what has to be typed first, where it concerns much: "delete 1200".
        danger: whether the button is red.
    """
    with ui.dialog() as dialog, Element("div").classes("dialog") as whole:
        whole.props["role"] = "document"
        attribute(dialog, "aria-label", title)
        text(title, "h2")
        text(sentence, "p")
        given = None
        if typed:
            given = ui.input(f"Type {typed}").props("outlined dense autofocus autocomplete=off")
        with box("actions end"):
            cancel_button(lambda: dialog.submit(False))
            does = ui.button(yes, on_click=lambda: dialog.submit(True))
            does.props(f"unelevated no-caps color={'negative' if danger else 'primary'}")
            if given is not None:
                does.set_enabled(False)
                given.on_value_change(lambda: does.set_enabled(given.value.strip() == typed))
    return bool(await answer_of(dialog))
