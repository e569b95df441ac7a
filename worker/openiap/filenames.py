"""File names from the server are hostile until reduced to a base name that is safe everywhere."""

from typing import Final

from worker.openiap.errors import FileTransferError

MAX_NAME: Final = 255
_DEVICES: Final = frozenset(
    {"CON", "PRN", "AUX", "NUL"} | {f"COM{n}" for n in range(10)} | {f"LPT{n}" for n in range(10)}
)
_FORBIDDEN: Final = frozenset('<>:"|?*')


def safe_name(name: str, *, operation: str = "download", item_id: str = "") -> str:
    """Return the base name of ``name``, fit for a file on Linux, macOS and Windows.

    Folders are cut off (both slashes count, whatever the system here), so ``../../x`` is ``x``.

    Raises:
        FileTransferError: nothing usable is left: empty, only dots, control characters, characters
            or device names that Windows forbids, a trailing dot or blank, or more than 255 bytes.
    """
    base = name.replace("\\", "/").rpartition("/")[2]
    reason = _refusal(base)
    if reason:
        raise FileTransferError(
            f"the file name {name!r} is not safe: {reason}", operation=operation, item_id=item_id
        )
    return base


def _refusal(base: str) -> str:
    if not base.strip(". "):
        return "no name is left of it"
    if any(ord(char) < 32 or ord(char) == 127 for char in base):
        return "it has control characters"
    if _FORBIDDEN & set(base):
        return f"it has one of {' '.join(sorted(_FORBIDDEN))}"
    if base[-1] in ". ":
        return "it ends with a dot or a blank"
    if base.partition(".")[0].upper() in _DEVICES:
        return "it is a device name on Windows"
    if len(base.encode("utf-8", "surrogatepass")) > MAX_NAME:
        return f"it is longer than {MAX_NAME} bytes"
    return ""
