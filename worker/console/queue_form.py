"""The form for a queue: a new one, or other settings of one that there is."""

from collections.abc import Sequence
from typing import Any, Final

from nicegui import ui
from nicegui.element import Element
from pydantic import ValidationError

from worker.console.parts.boxes import box
from worker.console.parts.dialogs import answer_of, cancel_button
from worker.console.parts.texts import attribute, clean, text
from worker.management.queues.types import QueueCreatePayload, QueueResponse, QueueUpdatePayload

NOWHERE: Final = "(they stay where they are)"
USUAL: Final = {"max_retries": 3, "retry_delay": 60, "initial_delay": 0}
NUMBERS: Final = (
    ("max_retries", "Attempts in all"),
    ("retry_delay", "Seconds until the next attempt"),
    ("initial_delay", "Seconds until the first attempt"),
)


async def asked_for_queue(others: Sequence[str]) -> QueueCreatePayload | None:
    """Ask for a new queue; None where nobody wants it."""
    given = await _asked("New queue", "Make it", others, None)
    return None if given is None else QueueCreatePayload(**given)


async def asked_for_changes(
    queue: QueueResponse, others: Sequence[str]
) -> QueueUpdatePayload | None:
    """Ask for other settings; None where nothing is to be changed."""
    given = await _asked("Settings of the queue", "Change it", others, queue)
    if given is None:
        return None
    changed = {name: value for name, value in given.items() if value != getattr(queue, name)}
    return QueueUpdatePayload(name=queue.name, **changed) if changed else None


async def _asked(
    title: str, yes: str, others: Sequence[str], queue: QueueResponse | None
) -> dict[str, Any] | None:
    with ui.dialog() as dialog, Element("div").classes("dialog"):
        attribute(dialog, "aria-label", title)
        text(title, "h2")
        name = None
        if queue is None:
            name = ui.input("Name").props("outlined dense autofocus maxlength=500")
        numbers = {
            field: ui.number(
                words,
                value=USUAL[field] if queue is None else getattr(queue, field),
                min=1 if field == "max_retries" else 0,
                precision=0,
            ).props("outlined dense")
            for field, words in NUMBERS
        }
        options = {"": NOWHERE, **{one: clean(one, 200) for one in others}}
        success = _choice("Done items go on to", options, queue.success_queue if queue else None)
        failed = _choice("Failed items go on to", options, queue.failed_queue if queue else None)
        told = text("", "p", "problem")
        told.set_visibility(False)

        def send() -> None:
            given: dict[str, Any] = {
                field: None if one.value is None else int(one.value)
                for field, one in numbers.items()
            }
            given |= {"success_queue": success.value, "failed_queue": failed.value}
            if name is not None:
                given["name"] = name.value
            try:
                QueueCreatePayload(**{"name": "any", **given})
                if name is not None and not name.value.strip():
                    raise ValueError("A queue needs a name.")
            except ValidationError as error:
                first = error.errors()[0]
                told.text = clean(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.")
                told.set_visibility(True)
            except ValueError as error:
                told.text = clean(error)
                told.set_visibility(True)
            else:
                dialog.submit(given)

        with box("actions end"):
            cancel_button(lambda: dialog.submit(None))
            ui.button(yes, on_click=send).props("unelevated no-caps color=primary")
    found = await answer_of(dialog)
    return found if isinstance(found, dict) else None


def _choice(words: str, options: dict[str, str], value: str | None) -> ui.select:
    chosen = value if value in options else ""
    return ui.select(options, label=words, value=chosen).props("outlined dense")
