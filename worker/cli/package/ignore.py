"""Ignore files, with the rules of ``.gitignore``. Pure."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec, PathSpec
    from pathspec.pattern import Pattern

NAMES: Final = (".npmignore", ".gitignore")
"""Which ignore file counts: the first that is there, as npm has it."""
_WHOLE_CONTENT: Final = re.compile(r"/\*\*(/?) *$")


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The patterns of an ignore file, once for each kind of path.

    Attributes:
        files: knows what git makes of files, also of those in folders that a pattern matches.
        folders: the last pattern that matches decides.
    """

    files: "GitIgnoreSpec"
    folders: "PathSpec[Pattern]"


def parse(text: str) -> IgnoreRules:
    """Return the patterns of an ignore file; one that git cannot use either matches nothing."""
    # Here and not above: only ``package build`` needs it.
    from pathspec import GitIgnoreSpec, PathSpec

    rules = GitIgnoreSpec([])
    for line in text.splitlines():
        with suppress(ValueError, re.error):
            # The library takes ``docs/**`` for the folder as well; git, for what is in it alone.
            rules += GitIgnoreSpec.from_lines([_WHOLE_CONTENT.sub(r"/**/*\1", line)])
    return IgnoreRules(rules, PathSpec(rules.patterns))


def ignored(path: str, rules: IgnoreRules, *, folder: bool = False) -> bool:
    """Tell whether a path is left out; of the folders above it, the caller asks first.

    Args:
        path: relative to the root, with forward slashes.
        folder: whether it is one.
    """
    return rules.folders.match_file(f"{path}/") if folder else rules.files.match_file(path)
