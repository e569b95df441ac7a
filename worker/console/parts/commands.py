"""A command to be pasted into a terminal, with a button that copies it."""

from nicegui import ui
from nicegui.element import Element

from worker.console.parts.boxes import box
from worker.console.parts.texts import text


def command(words: str, name: str) -> None:
    """Show a command.

    Args:
        words: the whole of it; what stands in it is quoted already.
        name: what it is, for those who hear it; no data.
    """
    with box("to-copy"):
        text(words, "pre", "command")
        with Element("button").classes("tool") as button:
            # The browser alone does it (``console.js``): it takes the text before the button.
            label = f"Copy {name}"
            button.props.update({"type": "button", "data-copy": "", "aria-label": label})
            button.props["title"] = label
            ui.icon("content_copy").props('aria-hidden="true"')
