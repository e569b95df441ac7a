"""What an item comes from, and what came of it, for people."""

from collections.abc import Sequence

from rich.console import Console

from worker.cli.shared.item_view import moment, name_of
from worker.cli.shared.output import show, show_facts
from worker.management.items.links import ItemLink


def show_links(
    console: Console,
    parent: ItemLink | None,
    children: Sequence[ItemLink],
    *,
    more: bool,
    utc: bool = False,
) -> None:
    """Print them; nothing where there are none.

    Args:
        more: there are other children.
    """
    if parent is not None:
        console.print("\n[bold]Comes from[/bold]")
        show_facts(console, [(parent.how, told(parent, utc=utc))])
    if not children:
        return
    console.print("\n[bold]Led to[/bold]")
    rows = [
        (one.how, one.id, one.queue or "", one.state or "", name_of(one.name)) for one in children
    ]
    show(console, {"how": "whole", "id": "whole", "queue": "", "state": "whole", "name": ""}, rows)
    if more:
        console.print("and more", style="dim")


def told(link: ItemLink, *, utc: bool = False) -> str:
    """Return in words what an item comes from."""
    if link.how == "schedule":
        at = moment(link.tick, utc=utc)
        return f"schedule {link.name}, tick of {at}" if at else f"schedule {link.name}"
    return f"item {link.id} of {link.queue}" if link.queue else f"item {link.id}"
