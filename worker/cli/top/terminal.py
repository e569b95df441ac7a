"""The terminal while a view has all of it: keys one by one, another screen, and back at the end.

1. Whatever ends the view, the terminal is as it was: its modes, its screen, its cursor.
2. Ctrl-Z and Ctrl-\\ are no signals meanwhile: they would leave the shell a screen without echo.
3. A terminal that went away (a link that broke) raises nothing here; the view ends with SIGHUP, or
   since nothing can be read any more.
"""

import contextlib
import os
import sys
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.text import Text

from worker.cli.shared.errors import usage_error

UNSEEN: Final = (80, 24)
"""The size of a terminal that does not tell."""
_LFLAG: Final = 3
_IFLAG: Final = 0
_CC: Final = 6


class Terminal:
    """A context in which a terminal shows one view.

    Raises:
        CommandError: stdin or stdout is no terminal that can show it.
    """

    def __init__(self) -> None:
        self.console: Final = Console(highlight=False)
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise usage_error(
                "top needs a terminal. For programs: openiap-worker queues list --json, workers"
                " list --json, items errors --json."
            )
        if self.console.is_dumb_terminal:
            raise usage_error("top needs a terminal that moves its cursor; TERM says it has none.")
        self.fd: Final = sys.stdin.fileno()
        self._modes: list[Any] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows, as they are now."""
        try:
            width, height = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return UNSEEN
        return (width, height) if width > 0 and height > 0 else UNSEEN

    @property
    def speaks_unicode(self) -> bool:
        """Whether it shows more than ASCII."""
        return self.console.encoding.lower().startswith("utf")

    def __enter__(self) -> Self:
        try:
            import termios  # not on Windows
        except ImportError as error:
            raise usage_error("top needs a terminal of Unix; on Windows: in WSL.") from error
        self._modes = termios.tcgetattr(self.fd)
        modes = termios.tcgetattr(self.fd)
        modes[_LFLAG] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
        modes[_IFLAG] &= ~termios.IXON
        modes[_CC][termios.VMIN], modes[_CC][termios.VTIME] = 1, 0
        for key in (termios.VSUSP, termios.VQUIT):
            modes[_CC][key] = b"\0"
        termios.tcsetattr(self.fd, termios.TCSANOW, modes)
        with contextlib.suppress(OSError):
            self.console.set_alt_screen(True)
            self.console.show_cursor(False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import termios

        with contextlib.suppress(OSError):
            self.console.show_cursor(True)
            self.console.set_alt_screen(False)
        if self._modes is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(self.fd, termios.TCSANOW, self._modes)

    def draw(self, lines: list[Text]) -> None:
        """Show lines, each as wide as the terminal and as many as it has rows."""
        whole = Text("\n").join(lines)
        with contextlib.suppress(OSError), self.console:
            self.console.control(_home())
            self.console.print(
                whole, end="", no_wrap=True, overflow="ignore", crop=False, soft_wrap=True
            )

    def read(self) -> bytes:
        """Return what was typed; nothing once the terminal is gone."""
        try:
            return os.read(self.fd, 1024)
        except OSError:
            return b""


def _home() -> Any:
    from rich.control import Control

    return Control.home()
