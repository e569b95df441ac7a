"""Files with handlers imported under names of their own, made of where they lie.

1. ``by_path.<folder>.<module>`` is that module in that folder, whatever else bears its name: a
   module of Python's, an installed one, or another file.
2. Whatever process can import the worker can import it by this name alone, so functions and classes
   of such a file can be pickled, for processes that are not the worker's as well.
3. Relative imports lead to what lies beside the file.
"""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from types import ModuleType
from urllib.parse import quote, unquote_to_bytes

from worker.package_path import FILES_BY_PATH

__path__: list[str] = []
"""Makes this module a package, so that modules can lie in it."""

PACKAGE_INIT = "__init__.py"
_PACKAGE = "/"
"""At the end of a part: the package of that name is meant, and not a file beside it."""


def module_name(root: str, parts: Sequence[str], *, package: bool) -> str:
    """Return the name of a module.

    Args:
        root: the absolute folder in which it, or the outermost package around it, lies.
        parts: the packages around it, from the outside, and the module itself.
        package: whether it is a package itself.
    """
    inside = [_encoded(part) + _PACKAGE for part in parts]
    if not package:
        inside[-1] = inside[-1].removesuffix(_PACKAGE)
    return FILES_BY_PATH + ".".join([_encoded(root), *inside])


def shown_name(module: str) -> str:
    """Return a module's name for people: of one imported by its path, the name in its folder."""
    if not module.startswith(FILES_BY_PATH):
        return module
    _, _, inside = module.removeprefix(FILES_BY_PATH).partition(".")
    return ".".join(_decoded(part.removesuffix(_PACKAGE)) for part in inside.split("."))


def _encoded(text: str) -> str:
    return quote(os.fsencode(text), safe=" /\\:").replace(".", "%2E")


def _decoded(text: str) -> str:
    return os.fsdecode(unquote_to_bytes(text))


class _Finder(MetaPathFinder):
    """Finds what the names of this package say."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(FILES_BY_PATH):
            return None
        folder, *inside = fullname.removeprefix(FILES_BY_PATH).split(".")
        if not inside:
            above = ModuleSpec(fullname, None, is_package=True)
            above.submodule_search_locations = [_decoded(folder)]
            return above
        part = inside[-1]
        name = _decoded(part.removesuffix(_PACKAGE))
        for place in path or ():
            base = os.path.join(place, name)
            if part.endswith(_PACKAGE):
                return spec_from_file_location(
                    fullname, os.path.join(base, PACKAGE_INIT), submodule_search_locations=[base]
                )
            if os.path.isfile(base + ".py"):
                return spec_from_file_location(fullname, base + ".py")
        return PathFinder.find_spec(fullname, path)


sys.meta_path.insert(0, _Finder())
