"""Boxes: what belongs together, single numbers, facts, what is empty, what went wrong."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from worker.console.parts.texts import clean, link, text

MOST_TITLE = 200


def box(classes: str = "") -> Element:
    """Return an empty ``div``; use it as ``with box("row"):``."""
    element = Element("div")
    return element.classes(classes) if classes else element


def page_head(title: object, *, kind: str = "") -> Element:
    """Show the page's heading, and return the place for its actions.

    Args:
        title: what the page is about; data may stand there.
        kind: what that is: "Queue".
    """
    with box("page-head"):
        with Element("div"):
            if kind:
                text(kind, "div", "quiet")
            text(title or "-", "h1", most=MOST_TITLE)
        return box("actions")


def named_head(id: str, *, kind: str) -> tuple[Element, Callable[[str], None]]:
    """Show the heading of something with an id, which becomes its name once that is known; return
    the place for its actions, and what to tell the name."""
    with box("page-head"):
        with Element("div"):
            with box("quiet"):
                text(f"{kind} ")
                shown = text(id, "span", "mono", most=MOST_TITLE)
            heading = text(id or "-", "h1", most=MOST_TITLE)

        def name(words: str) -> None:
            shown.set_visibility(words != id)
            heading.text = clean(words, MOST_TITLE)

        shown.set_visibility(False)
        return box("actions"), name


@contextmanager
def card(title: str = "", classes: str = "", *, level: str = "h2") -> Iterator[Element]:
    """Show what belongs together under a title; give the place for actions beside it."""
    section = Element("section").classes(f"card {classes}".strip())
    with section:
        if title:
            with box("card-head"):
                heading = text(title, level)
                section.props["aria-labelledby"] = heading.html_id
                actions = box("actions")
        else:
            actions = box("actions")
            actions.set_visibility(False)
        with box("card-body"):
            yield actions


class Number:
    """A number with its name; ``set`` changes it in place."""

    def __init__(self, name: str, to: str = "", tone: str = "") -> None:
        """Show it.

        Args:
            name: what is counted.
            to: the page that it leads to.
            tone: ``good``, ``bad``, ``busy`` or "".
        """
        with (Element("a") if to else Element("div")).classes(
            f"number {tone}".strip()
        ) as self._whole:
            if to:
                self._whole.props["href"] = to
            self._value = text("-", "span", "value")
            text(name, "span", "name")
            self._note = text("", "span", "note")

    def set(self, value: str, note: str | None = None) -> None:
        """Show a value; a few words below it stay as they are where none are given."""
        self._value.text = clean(value)
        self._whole.classes(**({"add": "zero"} if value in ("0", "0.0") else {"remove": "zero"}))
        if note is not None:
            self.note(note)

    def note(self, words: str) -> None:
        """Show a few words below the value."""
        self._note.text = clean(words)


def facts(pairs: Sequence[tuple[str, object]]) -> Element:
    """Show names and values; what has no value is left out."""
    with Element("dl").classes("facts") as whole:
        for name, value in pairs:
            if value not in (None, ""):
                text(name, "dt")
                text(value, "dd")
    return whole


def empty(
    title: str, hint: str = "", command: str = "", to: tuple[str, str] | None = None
) -> Element:
    """Show that there is nothing, and what to do next.

    Args:
        title: "No queue yet."
        hint: a sentence.
        command: to be pasted into a terminal.
        to: words and the page that they lead to.
    """
    with box("empty") as whole:
        ui.icon("inbox").props('aria-hidden="true"')
        text(title, "p", "title")
        if hint:
            text(hint, "p")
        if command:
            text(command, "pre", "command")
        if to is not None:
            link(to[0], to[1])
    return whole


def problem(sentence: str) -> Element:
    """Show in one sentence what went wrong."""
    with box("problem") as whole:
        whole.props["role"] = "alert"
        text(sentence)
    return whole


class Trouble:
    """A place for the sentence that says why there is nothing to see; ``set`` changes it."""

    def __init__(self) -> None:
        self._place = box()
        self._told = ""

    def set(self, sentence: str) -> None:
        """Show a sentence, "" for none; nothing is sent where it is the same."""
        if sentence == self._told:
            return
        self._told = sentence
        self._place.clear()
        if sentence:
            with self._place:
                problem(sentence)


def badge(word: str, tone: str = "") -> TextElement:
    """Show a state in a word; ``tone``: ``good``, ``bad``, ``busy``, ``wait`` or ""."""
    return text(word, "span", f"badge {tone}".strip())
