"""The dialog for a change of many items: what is to be done, what that would be, and only then the
button that does it: nothing is done without a dry run."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from nicegui import ui
from nicegui.element import Element
from pydantic import ValidationError as Invalid

from worker.console.batches import start_batch
from worker.console.parts.boxes import badge, box
from worker.console.parts.dialogs import answer_of, cancel_button
from worker.console.parts.states import TONES, WORDS, called
from worker.console.parts.texts import attribute, clean, text
from worker.console.visits import Visit
from worker.item.cancelled import MAX_REASON
from worker.management.api.jobs import JobResponse
from worker.management.errors import AppError, ValidationError
from worker.management.items.types import (
    BatchPayload,
    BatchPreviewResponse,
    ItemFilter,
    ItemsCancelBatchPayload,
    ItemsDeleteBatchPayload,
    ItemsMoveBatchPayload,
    ItemsRetryBatchPayload,
    ItemsUpdateBatchPayload,
)
from worker.management.queues.types import QueuesGetListPayload

What = Literal["retry", "cancel", "move", "priority", "payload", "delete"]
TYPED_FROM: Final = 1_000
"""So many items and more have to be typed, whatever is done; what is deleted always."""
DANGEROUS: Final = ("cancel", "delete")
SPREADS: Final = {0: "all at once", 60: "a minute", 600: "10 minutes", 3_600: "an hour"}
TITLES: Final[dict[What, str]] = {
    "retry": "Retry items",
    "cancel": "Cancel items",
    "move": "Move items to another queue",
    "priority": "Change the priority of items",
    "payload": "Change the payload of items",
    "delete": "Delete items",
}
NOTES: Final[dict[What, str]] = {
    "retry": "Failed items are put back, whatever their queue's limit of attempts says.",
    "cancel": "Waiting items fail, and are not tried again by themselves; the handlers of running"
    " ones are asked to end.",
    "move": "Waiting and failed items keep their ids and take the rights of the new queue.",
    "priority": "Of waiting and failed items; the lower the number, the sooner its turn.",
    "payload": "Of waiting and failed items: a JSON Merge Patch, in which null takes a field away.",
    "delete": "Items go with their files, but none that is being worked. This cannot be undone.",
}
VERBS: Final[dict[What, str]] = {
    "retry": "Retry",
    "cancel": "Cancel",
    "move": "Move",
    "priority": "Change",
    "payload": "Change",
    "delete": "Delete",
}


async def changed_in_bulk(visit: Visit, what: What, filter: ItemFilter) -> JobResponse | None:
    """Ask, show what it would do, and begin it; None where it was left alone."""
    queues: Sequence[str] = ()
    if what == "move":
        try:
            found = await visit.ask(lambda s: s.queues.get_list(QueuesGetListPayload()))
        except AppError as error:
            visit.tell(error.message, "error")
            return None
        queues = [one.name for one in found if one.name != filter.queue]
    payload = await _Dialog(visit, what, filter, queues).answer()
    return None if payload is None else await start_batch(visit, payload)


@dataclass
class _Choice:
    """A part of the form: how its value is read, and who hears when it is another."""

    read: Callable[[], dict[str, Any]]


class _Dialog:
    def __init__(self, visit: Visit, what: What, filter: ItemFilter, queues: Sequence[str]) -> None:
        self._visit = visit
        self._what = what
        self._filter = filter
        self._queues = queues
        self._planned: BatchPayload | None = None

    async def answer(self) -> BatchPayload | None:
        """Return what is to be done, as it was shown by the dry run; None for nothing."""
        with ui.dialog() as dialog, Element("div").classes("dialog wide") as whole:
            whole.props["role"] = "document"
            attribute(dialog, "aria-label", TITLES[self._what])
            text(TITLES[self._what], "h2")
            text(NOTES[self._what], "p", "quiet")
            self._choice = self._form()
            self._shown = box("preview")
            self._shown.props.update({"aria-live": "polite"})
            with box("actions end"):
                leave = "Leave them" if self._what == "cancel" else "Cancel"
                cancel_button(lambda: dialog.submit(False), leave)
                self._look = ui.button("Dry run", on_click=self._dry_run, color=None)
                self._look.props("outline no-caps")
                self._does = ui.button(
                    VERBS[self._what], on_click=lambda: dialog.submit(self._planned is not None)
                )
                tone = "negative" if self._what in DANGEROUS else "primary"
                self._does.props(f"unelevated no-caps color={tone}")
                self._does.set_enabled(False)
        if self._what in ("retry", "cancel", "delete"):
            ui.timer(0.01, self._dry_run, once=True)
        if not await answer_of(dialog) or self._planned is None:
            return None
        if isinstance(self._planned, ItemsCancelBatchPayload):
            # The reason changes nothing of what the dry run said, and may be typed after it.
            return self._planned.model_copy(update=self._choice.read())
        return self._planned

    def _form(self) -> _Choice:
        if self._what == "retry":
            spread = ui.select(SPREADS, label="Spread over", value=0).props("outlined dense")
            spread.on_value_change(self._other)
            return _Choice(lambda: {"spread": float(spread.value)})
        if self._what == "cancel":
            reason = ui.input("Reason, for those who look")
            reason.props(f"outlined dense autocomplete=off maxlength={MAX_REASON}")
            return _Choice(lambda: {"reason": (reason.value or "").strip()[:MAX_REASON]})
        if self._what == "move":
            names = {one: clean(one, 200) for one in self._queues}
            to = ui.select(names, label="To queue", with_input=True).props("outlined dense")
            to.on_value_change(self._other)
            return _Choice(lambda: {"to": to.value or ""})
        if self._what == "priority":
            number = ui.number("Priority", value=2, precision=0).props("outlined dense")
            number.on_value_change(self._other)
            return _Choice(
                lambda: {"priority": None if number.value is None else int(number.value)}
            )
        if self._what == "payload":
            patch = ui.textarea("Patch", value='{"customer": "acme"}')
            patch.props("outlined autogrow spellcheck=false").classes("code")
            patch.on_value_change(self._other)
            return _Choice(lambda: {"patch": read_object(patch.value or "")})
        return _Choice(dict)

    def _other(self) -> None:
        """Take back what the dry run said: it was of another choice."""
        self._planned = None
        self._does.set_enabled(False)
        self._shown.clear()

    def _payload(self) -> BatchPayload:
        given = self._choice.read()
        kinds: dict[What, type[BatchPayload]] = {
            "retry": ItemsRetryBatchPayload,
            "cancel": ItemsCancelBatchPayload,
            "move": ItemsMoveBatchPayload,
            "priority": ItemsUpdateBatchPayload,
            "payload": ItemsUpdateBatchPayload,
            "delete": ItemsDeleteBatchPayload,
        }
        if given.get("to") == "":
            raise ValidationError("Choose the queue that they go to.")
        try:
            return kinds[self._what](filter=self._filter, **given)
        except Invalid as error:
            first = error.errors(include_input=False)[0]
            raise ValidationError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None

    async def _dry_run(self) -> None:
        self._other()
        self._look.disable()
        with self._shown:
            text("Looking what it would do…", "p", "quiet")
        try:
            payload = self._payload()
            preview = await self._visit.ask(lambda s: s.items.preview_batch(payload))
        except AppError as error:
            self._show_problem(error.message)
            return
        finally:
            if not self._look.is_deleted:
                self._look.enable()
        if self._shown.is_deleted:
            return
        self._shown.clear()
        with self._shown:
            self._show(preview, payload)

    def _show_problem(self, sentence: str) -> None:
        if self._shown.is_deleted:
            return
        self._shown.clear()
        with self._shown, box("problem") as whole:
            whole.props["role"] = "alert"
            text(sentence)

    def _show(self, preview: BatchPreviewResponse, payload: BatchPayload) -> None:
        count = preview.count
        if not count:
            text("There is no item that this would change.", "p")
            return
        counted = "1 item" if count == 1 else f"{count:,} items"
        text(f"It would be {counted}.", "p", "strong")
        if preview.attempts_left:
            left = ", ".join(
                f"{one:,} with {'1 attempt' if tries == 1 else f'{tries:,} attempts'} left"
                for tries, one in sorted(preview.attempts_left.items())
            )
            text(f"Then: {left}.", "p", "quiet")
        if preview.running:
            run = "runs" if preview.running == 1 else "run"
            text(f"{preview.running:,} of them {run}, and would be told to end.", "p", "quiet")
        with box("list small"):
            for item in preview.sample:
                with box("line"):
                    with box("what"):
                        text(called(item.name, item.id), most=200)
                        text(f" · {item.queue or ''}", "span", "quiet", most=200)
                    badge(
                        WORDS.get(item.state or "", item.state or ""),
                        TONES.get(item.state or "", ""),
                    )
        if count > len(preview.sample):
            text(f"and {count - len(preview.sample):,} more", "p", "quiet")
        if not preview.conditional and self._what != "cancel":
            text(
                "This OpenIAP changes nothing on a condition: who changes an item in the same"
                " moment may be overwritten.",
                "p",
                "quiet",
            )
        self._planned = payload.model_copy(update={"before": preview.before})
        self._does.set_text(f"{VERBS[self._what]} {counted}")
        if self._what != "delete" and count < TYPED_FROM:
            self._does.set_enabled(True)
            return
        typed = f"{VERBS[self._what].lower()} {count}"
        given = ui.input(f"Type {typed}").props("outlined dense autocomplete=off")
        given.on_value_change(lambda: self._does.set_enabled(given.value.strip() == typed))


def read_object(given: str) -> dict[str, Any]:
    """Read a JSON object that somebody typed.

    Raises:
        ValidationError: it is none; the message says where.
    """
    try:
        found = json.loads(given, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise ValidationError(
            f"This is no JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"This is no JSON that OpenIAP keeps: {error}.") from None
    if not isinstance(found, dict):
        raise ValidationError("A JSON object is needed: {…}.")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
