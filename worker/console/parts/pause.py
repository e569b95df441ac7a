"""The dialog for a pause: why, and for how long."""

from typing import Final

from nicegui import ui
from nicegui.element import Element

from worker.console.parts.boxes import box
from worker.console.parts.dialogs import answer_of, cancel_button
from worker.console.parts.texts import attribute, clean, text
from worker.management.queues.types import MOST_REASON, QueuePausePayload

FOREVER: Final = 0
SPANS: Final = {
    FOREVER: "until somebody resumes it",
    900: "15 minutes",
    3_600: "an hour",
    4 * 3_600: "4 hours",
    86_400: "a day",
    7 * 86_400: "a week",
}


async def asked_for_pause(name: str) -> QueuePausePayload | None:
    """Ask; None where the queue is not to be paused."""
    with ui.dialog() as dialog, Element("div").classes("dialog"):
        attribute(dialog, "aria-label", "Pause the queue")
        text("Pause the queue?", "h2")
        text(f"No worker takes items of {clean(name, 200)} meanwhile; what runs finishes.", "p")
        reason = ui.input("Reason, for those who look").props(
            f"outlined dense autofocus maxlength={MOST_REASON}"
        )
        span = ui.select(SPANS, label="For how long", value=FOREVER).props("outlined dense")
        with box("actions end"):
            cancel_button(lambda: dialog.submit(False))
            ui.button("Pause it", on_click=lambda: dialog.submit(True)).props(
                "unelevated no-caps color=primary"
            )
    if not await answer_of(dialog):
        return None
    return QueuePausePayload.model_construct(
        name=name, reason=reason.value or "", until=None, seconds=float(span.value) or None
    )
