"""Strings of others on a page: names, payloads, errors. They are text, whatever stands in them.

1. ``text`` is the one way in which such a string comes onto a page; ``clean`` the one for those in
   rows of tables and options of charts. Nothing of it acts, nothing hides, and it can be sent.
2. Data is never a *key* of anything that goes to the browser (props, options of charts, rows), and
   never part of ``props("…")``: NiceGUI evaluates what is called ``:something``.
3. Never ``ui.html``, ``ui.markdown``, ``ui.json_editor`` or ``ui.run_javascript`` with data.
"""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlencode

from nicegui.elements.mixins.text_element import TextElement

from worker.unseen import seen

MOST: Final = 2_000


def clean(value: object, most: int = MOST) -> str:
    """Return a text that can be shown: control characters and the like are visible, its length is
    bounded.

    Args:
        value: None is "".
        most: characters.
    """
    given = "" if value is None else str(value)
    cut = given if len(given) <= most else f"{given[:most]}…"
    return seen(cut, _escaped, layout=True)


def text(value: object, tag: str = "span", classes: str = "", *, most: int = MOST) -> TextElement:
    """Show a text.

    Args:
        value: as for ``clean``.
        tag: ``span``, ``h1``, ``pre`` …
        classes: of ``console.css``.
        most: characters.
    """
    element = TextElement(tag=tag, text=clean(value, most))
    if classes:
        element.classes(classes)
    return element


def attribute(element: Any, name: str, value: object) -> None:
    """Set an attribute of an element to a text of others: ``title``, ``aria-label``, ``href``."""
    element.props[name] = clean(value)
    element.update()


def url_of(path: str, **query: object) -> str:
    """Return the address of a page: ``url_of("/queue", name=name)``; what is None is left out."""
    return address(path, [(name, value) for name, value in query.items() if value is not None])


def address(path: str, query: Iterable[tuple[str, object]]) -> str:
    """Return the address of a page, where a name may stand more than once."""
    given = [(name, str(value).encode("utf-8", "replace").decode()) for name, value in query]
    return f"{path}?{urlencode(given)}" if given else path


def is_own(to: str) -> bool:
    """Say whether an address is one of the console's own pages."""
    return to.startswith("/") and not to.startswith("//")


def link(value: object, to: str, classes: str = "") -> TextElement:
    """Show a text that leads to a page of ``url_of``."""
    if not is_own(to):
        raise ValueError("pages lead to pages of the console")
    element = text(value, "a", f"link {classes}".strip())
    element.props["href"] = to
    return element


def _escaped(one: str) -> str:
    code = ord(one)
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )
