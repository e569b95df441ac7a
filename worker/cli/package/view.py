"""What ``package build`` says: what is in the package, and what to look at twice."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from worker.cli.package.build import Built, contents
from worker.cli.shared.output import many, print_json, safe, show, to_stderr, to_stdout

Rows = list[list[object]]
LISTED: Final = 200
"""Files on a terminal; what is doubtful is named whatever its place."""


def show_built(built: Built, path: Path, notes: Sequence[str], *, as_json: bool) -> None:
    """Say what was built: every file on a terminal, one line where programs read, or JSON.

    Args:
        path: where the archive was put.
        notes: what was left out, shipped besides or could not be pinned, as sentences.
    """
    files = contents(built)
    doubtful = [file for file in files if file.doubt]
    if as_json:
        print_json(
            {
                "name": built.manifest.name,
                "version": built.manifest.version,
                "path": str(path),
                "bytes": len(built.archive),
                "sha256": built.sha256,
                "files": [
                    {"path": file.path, "bytes": file.size, "doubt": file.doubt} for file in files
                ],
                "notes": list(notes),
            }
        )
        return
    console, beside = to_stdout(), to_stderr()
    if console.is_terminal:
        rows: Rows = [[file.path, f"{file.size:,}", file.doubt] for file in files[:LISTED]]
        show(console, {"file": "", "bytes": "number", "": "dim"}, rows)
        if len(files) > LISTED:
            console.print(f"and {len(files) - LISTED:,} more; --json names all", style="dim")
    for note in notes:
        beside.print(safe(note), style="yellow", soft_wrap=True)
    for file in doubtful:
        text = f"{file.path} ({file.size:,} bytes) {file.doubt} and goes into the package"
        beside.print(safe(f"{text}."), style="yellow", soft_wrap=True)
    if doubtful:
        text = "What is not meant to leave here: name it in .npmignore, and build again."
        beside.print(safe(text), style="yellow", soft_wrap=True)
    console.print(
        safe(
            f"{path}: {many(len(files), 'file')}, {len(built.archive):,} bytes,"
            f" sha256 {built.sha256}"
        ),
        soft_wrap=True,
    )
