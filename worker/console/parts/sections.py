"""Parts of a page that show a topic, and show it anew when it is another."""

from collections.abc import Callable
from typing import TypeVar

from nicegui.element import Element

from worker.console.live.topics import Joined, Seen, Topic
from worker.console.parts.boxes import box, card, problem
from worker.console.visits import Visit

T = TypeVar("T")


def section(
    visit: Visit,
    title: str,
    topic: Topic[T] | Joined[T],
    draw: Callable[[T], None],
    classes: str = "",
    *,
    head: Callable[[Element], None] | None = None,
) -> None:
    """Show a card whose body is drawn from a topic, and drawn anew where its value is another.

    Args:
        visit: the page.
        title: of the card.
        topic: what it shows.
        draw: draws its value; a part that shall keep what is typed or chosen in it is to be
            changed in place instead: ``visit.look`` with what sets its values.
        classes: of ``console.css``.
        head: draws what stands beside the title.
    """
    with card(title, classes) as actions:
        if head is not None:
            with actions:
                head(actions)
        redrawn(visit, topic, draw)


def redrawn(visit: Visit, topic: Topic[T] | Joined[T], draw: Callable[[T], None]) -> None:
    """Show what is drawn from a topic, without a card around it."""
    body = box()
    shown: list[object] = []

    def show(seen: Seen[T]) -> None:
        new: object = seen.text if seen.value is None else seen.value
        if shown == [new]:
            return
        shown[:] = [new]
        body.clear()
        with body:
            if seen.value is None:
                problem(seen.text)
            else:
                draw(seen.value)

    visit.look(topic, show)
