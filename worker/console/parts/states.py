"""States of items: their words and colours, the same on every page."""

from typing import Final

STATES: Final = (
    ("new", "Waiting", "wait"),
    ("processing", "Running", "busy"),
    ("successful", "Done", "good"),
    ("failed", "Failed", "bad"),
)
"""As OpenIAP calls it, as people do, and the tone."""
TONES: Final = {state: tone for state, _, tone in STATES}
WORDS: Final = {state: words for state, words, _ in STATES}
