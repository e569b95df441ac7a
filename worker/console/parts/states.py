"""Items in words: their states with colours, and their names; the same on every page."""

from typing import Final

from worker.item.new_item import DEFAULT_NAME

STATES: Final = (
    ("new", "Waiting", "wait"),
    ("processing", "Running", "busy"),
    ("successful", "Done", "good"),
    ("failed", "Failed", "bad"),
)
"""As OpenIAP calls it, as people do, and the tone."""
TONES: Final = {state: tone for state, _, tone in STATES}
WORDS: Final = {state: words for state, words, _ in STATES}


def called(name: str | None, id: str) -> str:
    """Return what people know an item by: its name, else its id."""
    return id if name is None or name.strip() in ("", DEFAULT_NAME) else name
