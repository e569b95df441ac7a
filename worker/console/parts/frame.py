"""What every page has around it: header, navigation, help, notices, and who is away.

The keys are in ``console.js``; what they do stands here, in the help.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from nicegui import context, ui
from nicegui.element import Element

from worker.console.parts.boxes import box
from worker.console.parts.notices import Notices
from worker.console.parts.texts import attribute, link, text
from worker.console.visits import Visit

AREAS: Final = (
    ("overview", "Overview", "/", "o"),
    ("queues", "Queues", "/queues", "q"),
    ("items", "Items", "/items", "i"),
    ("errors", "Errors", "/errors", "e"),
    ("workers", "Workers", "/workers", "w"),
    ("schedules", "Schedules", "/schedules", "s"),
    ("settings", "Settings", "/settings", ""),
)
"""The navigation: name, words, address, and the key after ``g``."""
KEYS: Final = (
    ("/", "go to the search"),
    *((f"g {key}", words.lower()) for _, words, _, key in AREAS if key),
    ("t", "dark, light, or as the system has it"),
    ("?", "these keys"),
    ("Esc", "close, or leave the search"),
)


@contextmanager
def frame(visit: Visit, area: str) -> Iterator[None]:
    """Draw it, and have what is drawn inside ``with`` be the page."""
    _own_main()
    with Element("a").classes("skip") as skip:
        skip.props["href"] = "#main"
        text("To the page")
    with Element("header").classes("top"):
        with Element("a").classes("brand") as brand:
            brand.props["href"] = "/"
            with Element("img") as icon:
                icon.props.update(
                    {"src": "/console/icon.svg", "alt": "", "width": 24, "height": 24}
                )
            text("openiap-worker")
        with Element("nav") as navigation:
            navigation.props["aria-label"] = "Pages"
            for name, words, to, key in AREAS:
                entry = link(words, to)
                if key:
                    entry.props["data-key"] = key
                if name == area:
                    entry.props["aria-current"] = "page"
        with box("tools"):
            if visit.read_only:
                text("read-only", "span", "badge")
            _tool("contrast", "Dark or light (t)", "data-theme-switch")
            _tool("keyboard", "Keys (?)", "data-help")
            _account(visit)
    away = text("", "div", "away")
    away.props["role"] = "status"
    away.set_visibility(False)

    def show_away(sentence: str) -> None:
        away.text = f"{sentence} What is shown may be old." if sentence else ""
        away.set_visibility(bool(sentence))

    visit.show_away = show_away
    visit.show_end = _end_strip()
    visit.notify = Notices().show
    with Element("main") as main:
        main.props.update({"id": "main", "tabindex": "-1"})
        yield
    _help()


def _end_strip() -> Callable[[str, bool], None]:
    """Return what tells that the session is about to end."""
    with box("away") as strip:
        strip.props["role"] = "alert"
        words = text("")
        # Whatever is done on a page is a use of its session, so the button has nothing to do.
        stays = ui.button("Stay signed in", on_click=lambda: None, color=None)
        stays.props("dense no-caps outline").classes("action plain")
    strip.set_visibility(False)

    def show(sentence: str, keeps: bool) -> None:
        words.text = sentence
        stays.set_visibility(keeps)
        strip.set_visibility(bool(sentence))

    return show


def _own_main() -> None:
    """Have the page's main part be ours alone: NiceGUI's own has the header in it, too."""
    slot = context.client.content.parent_slot
    if slot is not None:
        slot.parent.props["role"] = "none"


def _account(visit: Visit) -> None:
    user = visit.session.user
    with Element("details").classes("account"):
        with Element("summary") as summary:
            attribute(summary, "aria-label", f"Signed in as {user.username or user.name}")
            ui.icon("person").props('aria-hidden="true"')
            text(user.username or user.name, "bdi")
        with Element("form") as form:
            form.props.update({"method": "post", "action": "/sign-out"})
            text(user.name, "p", "quiet")
            with Element("button") as button:
                button.props["type"] = "submit"
                text("Sign out")


def _tool(icon: str, name: str, mark: str) -> None:
    with Element("button").classes("tool") as button:
        button.props.update({"type": "button", "aria-label": name, "title": name, mark: ""})
        ui.icon(icon).props('aria-hidden="true"')


def _help() -> None:
    with Element("dialog").classes("help") as dialog:
        dialog.props.update({"id": "help", "aria-label": "Keys"})
        text("Keys", "h2")
        with Element("dl").classes("facts"):
            for key, what in KEYS:
                with Element("dt"):
                    for one in key.split():
                        text(one, "kbd")
                text(what, "dd")
        with Element("form") as form:
            form.props["method"] = "dialog"
            with Element("button") as button:
                button.props["type"] = "submit"
                text("Close")
