"""Dialogs for what a worker is to have other than its settings say, until it ends."""

from collections.abc import Sequence

from nicegui import ui
from nicegui.element import Element

from worker.console.parts.boxes import box
from worker.console.parts.dialogs import answer_of, cancel_button
from worker.console.parts.texts import attribute, clean, text
from worker.engine.steering import LEVELS, MOST_SLOTS
from worker.management.workers.types import WorkerQueue


async def asked_for_slots(queues: Sequence[WorkerQueue]) -> tuple[str, int] | None:
    """Ask how many items of which queue are to be worked at once; None where nobody wants it."""
    if not queues:
        return None
    with ui.dialog() as dialog, Element("div").classes("dialog"):
        attribute(dialog, "aria-label", "Concurrency")
        text("How many items at once?", "h2")
        text("Until the worker ends; then its settings count again.", "p", "quiet")
        names = {index: clean(one.name, 200) for index, one in enumerate(queues)}
        queue = ui.select(names, label="Queue", value=0).props("outlined dense")
        slots = ui.number(
            "Items at once", value=queues[0].concurrency, min=1, max=MOST_SLOTS, precision=0
        ).props("outlined dense autofocus")
        queue.on_value_change(lambda: slots.set_value(queues[int(queue.value)].concurrency))
        with box("actions end"):
            cancel_button(lambda: dialog.submit(False))
            ui.button("Set it", on_click=lambda: dialog.submit(True)).props(
                "unelevated no-caps color=primary"
            )
    if not await answer_of(dialog) or slots.value is None:
        return None
    return queues[int(queue.value)].name, int(slots.value)


async def asked_for_level(level: str) -> str | None:
    """Ask for a log level; None where nobody wants another."""
    with ui.dialog() as dialog, Element("div").classes("dialog"):
        attribute(dialog, "aria-label", "Log level")
        text("Which log level?", "h2")
        text("Until the worker ends; then its settings count again.", "p", "quiet")
        chosen = ui.select(
            list(LEVELS), label="Log level", value=level if level in LEVELS else LEVELS[0]
        ).props("outlined dense")
        with box("actions end"):
            cancel_button(lambda: dialog.submit(False))
            ui.button("Set it", on_click=lambda: dialog.submit(True)).props(
                "unelevated no-caps color=primary"
            )
    return str(chosen.value) if await answer_of(dialog) else None
