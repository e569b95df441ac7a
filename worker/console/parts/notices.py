"""Notices: what was done or not, in a sentence that goes by itself, where it can with an undo."""

from collections.abc import Awaitable, Callable
from typing import Final

from nicegui import background_tasks, ui
from nicegui.element import Element

from worker.console.parts.boxes import box
from worker.console.parts.texts import text

GOES_AFTER: Final = {"done": 6.0, "undo": 12.0, "error": 15.0}
MOST: Final = 4
Undo = Callable[[], Awaitable[None]]


class Notices:
    """Those of one page."""

    def __init__(self) -> None:
        with box("notices") as self._place:
            self._place.props.update({"role": "status", "aria-live": "polite"})
        self._shown: list[Element] = []

    def show(self, sentence: str, kind: str = "done", undo: Undo | None = None) -> None:
        """Show a sentence for some seconds.

        Args:
            sentence: one.
            kind: ``done`` or ``error``.
            undo: takes back what was done.
        """
        while len(self._shown) >= MOST:
            self._close(self._shown[0])
        with self._place, box(f"notice {kind}") as notice:
            text(sentence)
            if undo is not None:
                take_back = undo

                async def taken_back() -> None:
                    self._close(notice)
                    await take_back()

                _button("Undo", taken_back)
            _button("Dismiss", lambda: self._close(notice))
            ui.timer(GOES_AFTER["undo" if undo else kind], lambda: self._close(notice), once=True)
        self._shown.append(notice)

    def _close(self, notice: Element) -> None:
        if notice in self._shown:
            self._shown.remove(notice)
            notice.delete()


def _button(words: str, act: Callable[[], object]) -> None:
    def run() -> None:
        done = act()
        if hasattr(done, "__await__"):
            background_tasks.create(done, name=f"notice {words}")

    with Element("button") as button:
        button.props["type"] = "button"
        text(words)
    button.on("click", run, args=[])
