"""Buttons that do something: not there where the console is read-only, dead while they do it."""

from collections.abc import Awaitable, Callable
from typing import Final

from nicegui import ui

from worker.console.visits import Visit

TONES: Final = {
    "plain": "outline",
    "main": "unelevated color=primary",
    "danger": "outline",
}


def action(
    visit: Visit,
    words: str,
    act: Callable[[], Awaitable[None]],
    *,
    icon: str = "",
    tone: str = "plain",
) -> ui.button | None:
    """Show a button.

    Args:
        visit: the page.
        words: what it does; no data.
        act: does it: ``visit.do`` and what is to be told of it.
        icon: of Material Icons.
        tone: ``plain``, ``main`` or ``danger``.

    Returns:
        The button; None where nothing may be changed.
    """
    if visit.read_only:
        return None

    async def run() -> None:
        button.disable()
        try:
            await act()
        finally:
            if not visit.is_over and not button.is_deleted:
                button.enable()

    button = ui.button(words, icon=icon or None, on_click=run, color=None)
    return button.props(f"dense no-caps {TONES[tone]}").classes(f"action {tone}")
