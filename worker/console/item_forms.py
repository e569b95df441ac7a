"""Forms for one item: its payload, its queue, its priority."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nicegui import ui
from nicegui.element import Element

from worker.console.parts.boxes import box
from worker.console.parts.bulk import read_object
from worker.console.parts.dialogs import answer_of, cancel_button
from worker.console.parts.json_tree import json_of
from worker.console.parts.patches import patch_between
from worker.console.parts.texts import attribute, clean, text
from worker.item.cancelled import MAX_REASON
from worker.management.errors import AppError
from worker.unseen import seen

Save = Callable[[dict[str, Any]], Awaitable[None]]


async def edited_payload(payload: dict[str, Any], save: Save) -> bool:
    """Let somebody edit a payload, and say whether it was saved; what was typed stays until then.

    Args:
        payload: as it is, without what the worker keeps there.
        save: takes a JSON Merge Patch, and raises ``AppError`` where it is refused: by the
            contract, or since the item was changed meanwhile.
    """
    with ui.dialog().props("persistent") as dialog, Element("div").classes("dialog wide") as whole:
        whole.props["role"] = "document"
        attribute(dialog, "aria-label", "Edit the payload")
        text("Edit the payload", "h2")
        text("It is checked by the queue's contract where the console knows one.", "p", "quiet")
        given = ui.textarea("Payload", value=editable(payload))
        given.props(
            "outlined spellcheck=false input-style=min-height:45vh no-error-icon hide-bottom-space"
        ).classes("code")

        given.on_value_change(lambda: given.props(remove="aria-invalid"))

        async def send() -> None:
            saves.disable()
            try:
                patch = patch_between(payload, read_object(given.value or ""))
                if patch:
                    await save(patch)
            except AppError as error:
                given.props(add="aria-invalid=true")
                given.error = clean(error.message)  # it goes with the next change of the field
            else:
                dialog.submit(bool(patch))
            finally:
                if not saves.is_deleted:
                    saves.enable()

        with box("actions end"):
            cancel_button(lambda: dialog.submit(False))
            saves = ui.button("Save", on_click=send)
            saves.props("unelevated no-caps color=primary")
    return bool(await answer_of(dialog))


def editable(payload: dict[str, Any]) -> str:
    """Return a payload as JSON in which nothing hides: such characters are JSON's own escapes."""
    return seen(json_of(payload), lambda one: json.dumps(one)[1:-1], layout=True)


async def asked_for_target(queues: Sequence[str]) -> str | None:
    """Ask which queue an item goes to; None for none."""
    with ui.dialog() as dialog, Element("div").classes("dialog") as whole:
        whole.props["role"] = "document"
        attribute(dialog, "aria-label", "Move the item")
        text("Move the item", "h2")
        text("It keeps its id and takes the rights of the new queue.", "p", "quiet")
        names = {one: clean(one, 200) for one in queues}
        to = ui.select(names, label="To queue", with_input=True).props("outlined dense")
        with box("actions end"):
            cancel_button(lambda: dialog.submit(False))
            does = ui.button("Move it", on_click=lambda: dialog.submit(True))
            does.props("unelevated no-caps color=primary").set_enabled(False)
            to.on_value_change(lambda: does.set_enabled(bool(to.value)))
    return str(to.value) if await answer_of(dialog) and to.value else None


async def asked_for_priority(now: int | None) -> int | None:
    """Ask for another priority; None for none."""
    with ui.dialog() as dialog, Element("div").classes("dialog") as whole:
        whole.props["role"] = "document"
        attribute(dialog, "aria-label", "Change the priority")
        text("Change the priority", "h2")
        text("The lower the number, the sooner its turn.", "p", "quiet")
        number = ui.number("Priority", value=2 if now is None else now, precision=0)
        number.props("outlined dense autofocus")
        with box("actions end"):
            cancel_button(lambda: dialog.submit(False))
            ui.button("Change it", on_click=lambda: dialog.submit(True)).props(
                "unelevated no-caps color=primary"
            )
    if not await answer_of(dialog) or number.value is None:
        return None
    return int(number.value)


async def asked_for_reason(sentence: str) -> str | None:
    """Ask why an item is cancelled; None where it is not to be."""
    with ui.dialog() as dialog, Element("div").classes("dialog") as whole:
        whole.props["role"] = "document"
        attribute(dialog, "aria-label", "Cancel this item?")
        text("Cancel this item?", "h2")
        text(sentence, "p")
        reason = ui.input("Reason, for those who look").props(
            f"outlined dense autofocus autocomplete=off maxlength={MAX_REASON}"
        )
        with box("actions end"):
            ui.button("Leave it", on_click=lambda: dialog.submit(False), color=None).props(
                "flat no-caps"
            )
            ui.button("Cancel it", on_click=lambda: dialog.submit(True)).props(
                "unelevated no-caps color=negative"
            )
    return (reason.value or "").strip() if await answer_of(dialog) else None


async def asked_for_signal(names: Sequence[str]) -> tuple[str, Any] | None:
    """Ask what an item is told that waits for signals of these names; None for nothing."""
    told: list[Any] = []
    with ui.dialog() as dialog, Element("div").classes("dialog") as whole:
        whole.props["role"] = "document"
        attribute(dialog, "aria-label", "Tell the item")
        text("Tell the item what it waits for", "h2")
        text("Its handler goes on with the value; this cannot be taken back.", "p", "quiet")
        options = {index: clean(one, 200) for index, one in enumerate(names)}
        name = ui.select(options, label="Signal", value=0).props("outlined dense")
        value = ui.textarea("Value, as JSON", value="null")
        value.props("outlined autogrow spellcheck=false hide-bottom-space no-error-icon")
        value.classes("code")

        def send() -> None:
            try:
                told[:] = [json.loads(value.value or "null")]
            except (ValueError, RecursionError) as error:
                value.error = clean(f"This is no JSON: {error}.", 300)
            else:
                dialog.submit(True)

        with box("actions end"):
            cancel_button(lambda: dialog.submit(False))
            ui.button("Tell it", on_click=send).props("unelevated no-caps color=primary")
    return (names[int(name.value)], told[0]) if await answer_of(dialog) and told else None
