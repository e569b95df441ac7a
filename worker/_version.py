"""The version, here and nowhere else; nothing is imported for it."""

__version__ = "0.1.0"
