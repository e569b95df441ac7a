"""The version, here and nowhere else; nothing is imported for it."""

from typing import Final

__version__: Final = "0.1.0"
