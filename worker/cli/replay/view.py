"""How a replay looks: what the item is, what the handler did, and what would be different."""

from typing import Any, Final

from rich.console import Console
from rich.text import Text

from worker.cli.shared.item_view import STYLES, name_of
from worker.cli.shared.output import many, safe, show_facts
from worker.durations import text as duration_text
from worker.item.metadata import taken_out
from worker.item.outcome import Kind
from worker.openiap.values import format_bytes, iso
from worker.openiap.workitem import JsonObject
from worker.testing.difference import Difference, differences, shown
from worker.testing.dry_run import PushSeen
from worker.testing.replay import Replayed

SIGNS: Final = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
KINDS: Final[dict[Kind, str]] = {
    "successful": "successful",
    "business": "business error: failed, never retried",
    "application": "application error: retried by the queue's rules",
    "failed": "failed, not retried",
    "released": "handed back",
}


def payload_changes(played: Replayed) -> list[Difference]:
    """Return what would be different in the payload."""
    after = played.run.payload
    return [] if after is None else differences(taken_out(played.stored.payload)[0], after)


def show_replay(console: Console, played: Replayed, *, sent: bool) -> None:
    """Print a replay for people."""
    run, document = played.run, played.stored.document
    show_facts(
        console,
        [
            ("item", played.stored.id),
            ("name", name_of(document.get("name"))),
            ("queue", played.stored.queue),
            ("handler", played.handler),
            ("attempt", played.attempt),
        ],
    )
    console.print()
    outcome = safe(f"{KINDS[run.outcome.kind]}, in {duration_text(round(run.seconds, 3))}")
    outcome.stylize(f"bold {STYLES.get(played.state) or 'yellow'}")
    console.print(Text("Outcome  ", style="bold") + outcome)
    if not run.called:
        console.print("The handler was not called.", style="dim")
    if run.outcome.message:
        style = "red" if run.sleeps_until is None else "dim"
        console.print(safe(run.outcome.message), style=style, soft_wrap=True)
    if run.outcome.source:
        console.print(safe(run.outcome.source.rstrip()), style="dim", soft_wrap=True)
    _show_steps(console, played)
    _show_signals(console, played)
    _show_item(console, played)
    _show_held_back(console, played)
    console.print()
    if sent:
        console.print("Sent: the item is as shown.", style="bold green")
    else:
        console.print(
            safe(f"Nothing was sent. To send it: openiap-worker replay {played.stored.id} --send"),
            style="dim",
            soft_wrap=True,
        )


def _show_steps(console: Console, played: Replayed) -> None:
    stored = {step.name: step for step in played.stored_steps}
    done, skipped = played.run.steps, played.skipped_steps
    if not stored and not done:
        return
    console.print("\n[bold]Steps[/bold]")
    for name, step in stored.items():
        if done.get(name, ...) == step.value:
            how = "not run" if name in skipped else "run again, the same came"
            text = f"{name}: {shown(step.value)} (stored {iso(step.at)}, {how})"
            console.print(_safe_line(" ", text, "dim"), soft_wrap=True)
        elif name in done:
            text = f"{name}: {shown(step.value)} → {shown(done[name])}"
            console.print(_safe_line("~", text, "yellow"), soft_wrap=True)
        else:
            console.print(_safe_line("-", f"{name}: {shown(step.value)}", "red"), soft_wrap=True)
    for name, value in done.items():
        if name not in stored:
            console.print(_safe_line("+", f"{name}: {shown(value)}", "green"), soft_wrap=True)


def _show_signals(console: Console, played: Replayed) -> None:
    stored = {one.name: one for one in played.stored_signals}
    came = played.run.signals
    if not stored and not came:
        return
    console.print("\n[bold]Signals[/bold]")
    for name, one in stored.items():
        text = f"{name}: {_came(one.value, timed_out=one.timed_out)}"
        at = "" if one.at is None else f" (stored {iso(one.at)})"
        if name in came:
            console.print(_safe_line(" ", f"{text}{at}", "dim"), soft_wrap=True)
        else:
            console.print(_safe_line("-", text, "red"), soft_wrap=True)
    for name, value in came.items():
        if name not in stored:
            text = f"{name}: {_came(value, timed_out=value is None)}"
            console.print(_safe_line("+", text, "green"), soft_wrap=True)


def _came(value: Any, *, timed_out: bool) -> str:
    return "none came in time" if timed_out else shown(value)


def _show_item(console: Console, played: Replayed) -> None:
    before, run = played.stored.document, played.run
    lines = [_changed("state", before.get("state"), played.state)]
    if run.outcome.message and run.sleeps_until is None:  # that it waits is no error
        lines.append(_changed("errormessage", before.get("errormessage"), run.outcome.message))
    if run.retry_after is not None:
        wait = duration_text(max(0, round(run.retry_after)))
        lines.append(Text(f"+ next run in {wait}", style="green"))
    changes = payload_changes(played)
    lines += [_line(change) for change in changes if change.path]
    for name, content in run.attachments.items():
        size = format_bytes(len(content))
        lines.append(_safe_line("+", f"file {name} ({size})", "green"))
    lines += [_safe_line("+", _push_text(push), "cyan") for push in run.pushes]
    console.print("\n[bold]Item[/bold]")
    for line in lines:
        console.print(line, soft_wrap=True)
    if not changes:
        console.print("  its payload stays as it is", style="dim")


def _push_text(push: PushSeen) -> str:
    due = f", not before {iso(push.nextrun)}" if push.nextrun else ""
    return f"push to {push.queue}: {shown(push.payload)}{due}"


def _changed(name: str, before: object, after: object) -> Text:
    if (before or "") == (after or ""):
        return _safe_line(" ", f"{name}: {shown(after)}", "dim")
    if not before:
        return _safe_line("+", f"{name}: {shown(after)}", "green")
    return _safe_line("~", f"{name}: {shown(before)} → {shown(after)}", "yellow")


def _line(change: Difference) -> Text:
    sign, style = SIGNS[change.change]
    path = f"payload.{change.path}"
    if change.change == "added":
        return _safe_line(sign, f"{path}: {shown(change.after)}", style)
    if change.change == "removed":
        return _safe_line(sign, f"{path}: {shown(change.before)}", style)
    return _safe_line(sign, f"{path}: {shown(change.before)} → {shown(change.after)}", style)


def _safe_line(sign: str, text: str, style: str) -> Text:
    line = safe(f"{sign} {text}")
    line.stylize(style)
    return line


def _show_held_back(console: Console, played: Replayed) -> None:
    if not played.held_back:
        return
    console.print(f"\n[bold]Held back[/bold]  {many(len(played.held_back), 'call')}, not sent")
    for call in played.held_back:
        console.print(_safe_line("+", str(call), "cyan"), soft_wrap=True)


def as_data(played: Replayed, *, sent: bool) -> JsonObject:
    """Return a replay for programs."""
    run = played.run
    changes: list[dict[str, Any]] = [
        {"path": c.path, "change": c.change, "before": c.before, "after": c.after}
        for c in payload_changes(played)
    ]
    return {
        "item": played.stored.id,
        "queue": played.stored.queue,
        "handler": played.handler,
        "attempt": played.attempt,
        "steps": {
            "stored": {step.name: step.value for step in played.stored_steps},
            "after": dict(run.steps),
        },
        "signals": {
            "stored": {one.name: one.value for one in played.stored_signals},
            "after": dict(run.signals),
        },
        "sleeps_until": run.sleeps_until,
        "called": run.called,
        "outcome": run.outcome.kind,
        "message": run.outcome.message,
        "source": run.outcome.source,
        "retry_at": run.outcome.retry_at,
        "seconds": round(run.seconds, 6),
        "state": {"before": played.stored.state, "after": played.state},
        "payload": changes,
        "files": {name: len(content) for name, content in run.attachments.items()},
        "pushes": [
            {"queue": p.queue, "payload": p.payload, "name": p.name, "nextrun": p.nextrun}
            for p in run.pushes
        ],
        "progress": [{"share": p.share, "text": p.text} for p in run.progress],
        "held_back": [str(call) for call in played.held_back],
        "log": [{"level": line.level, "text": line.text} for line in run.log],
        "sent": sent,
    }
