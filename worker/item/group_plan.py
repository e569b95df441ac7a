"""From what a push of a group is given to the group to be: each member checked as a push is."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypedDict

from worker.durations import Duration
from worker.item.group import MAX_KEY, MOST_MEMBERS, MOST_QUEUES
from worker.item.group_desk import ON_FAILURE, GroupError, GroupPlan, OnFailure
from worker.item.metadata import KEY
from worker.item.new_item import Push
from worker.item.push import ContractError, Target, pushes_to
from worker.kinds import kind_of
from worker.openiap.values import json_text

AFTER: Final[Mapping[str, Any]] = {"results": [], "errors": []}
MEMBER: Final = "(handler or queue, payload), or (handler or queue, payload, {option: value})"

Aim = Target[Any] | str
Member = tuple[Aim, Any] | tuple[Aim, Any, Mapping[str, Any]]
Then = Aim | Member | None


class GroupArguments(TypedDict, total=False):
    """What may be said of all items of a group; see ``PushOptions``."""

    priority: int | None
    delay: Duration | None
    namespace: str | None
    headers: Mapping[str, str] | None
    expires: Duration | None


def plan_of(
    members: Iterable[Member],
    then: Then = None,
    on_failure: OnFailure = "wait",
    options: Mapping[str, Any] | None = None,
    key: str = "",
) -> GroupPlan[Push]:
    """Return the group to be.

    Raises:
        ContractError: a payload does not fit its handler, or ``then`` takes no ``results`` and
            ``errors``.
        GroupError: what is given is no group.
        TypeError, ValueError: an option that is not allowed.
    """
    if on_failure not in ON_FAILURE:
        raise GroupError(
            f"on_failure = {on_failure!r}; allowed: {', '.join(map(repr, ON_FAILURE))}"
        )
    if not isinstance(key, str) or len(key) > MAX_KEY:
        raise GroupError(f"key = {str(key)[:40]!r}; allowed: text of up to {MAX_KEY} characters")
    common = dict(options or {})
    targets: dict[str, Any] = {}
    pushes = [_member(n, one, common, targets) for n, one in enumerate(_listed(members))]
    queues = {push.queue for push in pushes}
    if len(queues) > MOST_QUEUES:
        raise GroupError(f"a group in {len(queues)} queues; allowed: {MOST_QUEUES}")
    after = _then(then, common, targets)
    return GroupPlan(pushes, after, on_failure, _digest(pushes, after), key, targets=targets)


def _listed(members: Iterable[Member]) -> list[Member]:
    if isinstance(members, str | Mapping):
        raise GroupError(f"members: {kind_of(members)}; allowed: a list of {MEMBER}")
    found = list(members)
    if len(found) > MOST_MEMBERS:
        raise GroupError(f"a group of {len(found):,} members; allowed: {MOST_MEMBERS:,}")
    return found


def _member(n: int, member: Any, common: Mapping[str, Any], targets: dict[str, Any]) -> Push:
    target, payload, options = _parts(f"member {n}", member, common)
    try:
        (push,) = pushes_to(target, [payload], options)
    except ContractError as error:
        raise ContractError(f"member {n}: {error}") from None
    _note(targets, push, target)
    return replace(push, unique=None)


def _then(then: Any, common: Mapping[str, Any], targets: dict[str, Any]) -> Push | None:
    """Return the item that comes after the members, without results and errors."""
    if then is None:
        return None
    whole = then if isinstance(then, tuple) else (then, {})
    target, payload, options = _parts("then", whole, {**common, "delay": None, "expires": None})
    if not isinstance(payload, Mapping):
        raise GroupError(f"then: the payload is {kind_of(payload)}; allowed: a mapping")
    try:
        (push,) = pushes_to(target, [{**payload, **AFTER}], options)
    except ContractError as error:
        raise ContractError(
            f'then: {error} It is called with "results" and "errors", two lists, which may be'
            " empty."
        ) from None
    _note(targets, push, target)
    kept = {name: value for name, value in push.payload.items() if name not in AFTER}
    return replace(push, payload=kept, unique=None, nextrun=None)


def _parts(
    which: str, member: Any, common: Mapping[str, Any]
) -> tuple[Aim, Any, Mapping[str, Any]]:
    if not isinstance(member, tuple) or len(member) not in (2, 3):
        shown = f"{type(member).__name__} {str(member)[:80]}"
        raise GroupError(f"{which} is {shown}; allowed: {MEMBER}")
    target, payload = member[:2]
    own = member[2] if len(member) == 3 else {}
    if not isinstance(own, Mapping):
        raise GroupError(f"{which}: its options are {str(own)[:80]!r}; allowed: {MEMBER}")
    for refused in ("unique", "files"):
        if refused in own or refused in common:
            raise GroupError(f"{which}: {refused} is for single items, and no option in a group")
    return target, payload, {**common, **own}


def _note(targets: dict[str, Any], push: Push, target: Aim) -> None:
    if not isinstance(target, str):
        targets[push.queue] = target


def _digest(pushes: Iterable[Push], then: Push | None) -> str:
    found = hashlib.sha256()
    for push in (*pushes, then):
        if push is None:
            continue
        payload = {name: value for name, value in push.payload.items() if name != KEY}
        found.update(json_text([push.queue, push.name, push.priority, payload]).encode())
    return found.hexdigest()[:32]
