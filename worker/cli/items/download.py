"""``items download``: an item's files, whole, under names that are safe here."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.shared.client import with_client
from worker.cli.shared.errors import CommandError, usage_error
from worker.cli.shared.groups import grouped
from worker.cli.shared.options import AsJson, Options, settings_of
from worker.cli.shared.output import many, print_json, safe, to_stdout
from worker.management.items.service import Items
from worker.management.items.types import ItemFile, ItemGetPayload
from worker.openiap.client import Client
from worker.openiap.errors import FileTransferError
from worker.openiap.filenames import safe_name
from worker.openiap.values import format_bytes

TIMEOUT = 3600.0
"""Seconds that one file may take; a link that dies is noticed long before."""


@grouped
def download(
    id: Annotated[str, typer.Argument(help="The item's id.", show_default=False)],
    file: Annotated[
        str | None,
        typer.Argument(help="The file's name. Default: all of them.", show_default=False),
    ] = None,
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="Into this folder; it is made.")
    ] = Path("."),
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there already.")
    ] = False,
    as_json: AsJson = False,
    *,
    given: Options,
) -> None:
    """Fetch the files of an item. Nothing is replaced that is there, unless told so."""
    chosen = settings_of(given).settings

    async def work(signed: Client) -> list[Path]:
        item = await Items(signed).get_one(ItemGetPayload.model_construct(id=id))
        wanted = targets(item.files, file, to, force=force, id=id)
        to.mkdir(parents=True, exist_ok=True)
        done = []
        # In a folder of its own, so that nothing that is there is touched before all is whole.
        with tempfile.TemporaryDirectory(prefix=".openiap-", dir=to) as beside:
            for one, target in wanted:
                came = await signed.download(one.id, beside, target.name, timeout=TIMEOUT)
                placed(came, target, force=force)
                done.append(target)
        return done

    done = with_client(chosen, work)
    if as_json:
        print_json({"id": id, "files": [str(path) for path in done]})
        return
    for path in done:
        to_stdout().print(safe(f"{path}  {format_bytes(path.stat().st_size)}"), soft_wrap=True)
    to_stdout().print(f"{many(len(done), 'file')}.")


def targets(
    files: Sequence[ItemFile], name: str | None, folder: Path, *, force: bool, id: str
) -> list[tuple[ItemFile, Path]]:
    """Return which files are fetched, and under which path each; none is outside of the folder.

    Raises:
        CommandError: there is no such file, a name is not safe, two would be one, or something is
            there already.
    """
    chosen = [one for one in files if name is None or one.name == name]
    if not chosen:
        known = ", ".join(one.name for one in files[:20]) or "none"
        what = "no files" if name is None else f"no file {name}"
        raise CommandError(f"Item {id} has {what}. Its files: {known}.")
    found: dict[str, tuple[ItemFile, Path]] = {}
    for one in chosen:
        try:
            plain = safe_name(one.name, item_id=id)
        except FileTransferError as error:
            raise CommandError(f"Nothing was fetched: {error.text}.") from error
        if plain.casefold() in found:
            raise CommandError(
                f"Nothing was fetched: two files of item {id} would be {plain} here; name one."
            )
        target = folder / plain
        if os.path.lexists(target) and (target.is_dir() or not force):
            raise usage_error(f"{target} is there already; nothing was fetched. See --force.")
        found[plain.casefold()] = (one, target)
    return list(found.values())


def placed(came: Path, target: Path, *, force: bool) -> None:
    """Give a whole file its name; a link of that name is replaced, never written through.

    Raises:
        CommandError: something of that name has come to be there meanwhile.
    """
    if force:
        came.replace(target)
        return
    try:
        os.link(came, target)
    except FileExistsError:
        raise usage_error(f"{target} has come to be there meanwhile. See --force.") from None
    except OSError:  # a file system without hard links
        try:
            with target.open("xb") as new, came.open("rb") as whole:
                shutil.copyfileobj(whole, new)
        except FileExistsError:
            raise usage_error(f"{target} has come to be there meanwhile. See --force.") from None
