"""The batches of a user that run: how far each is, stopping it, and what became of it."""

from typing import Final

from nicegui import ui
from nicegui.element import Element

from worker.console.parts.actions import action
from worker.console.parts.boxes import box
from worker.console.parts.texts import link, text, url_of
from worker.console.visits import Visit
from worker.management.api.jobs import JobResponse
from worker.management.errors import AppError

EVERY: Final = 0.5
MOST_FAILURES: Final = 5
WORDS: Final = {
    "retry": ("Retry", "put back"),
    "cancel": ("Cancel", "cancelled"),
    "delete": ("Delete", "deleted"),
    "move": ("Move", "moved"),
    "update": ("Change", "changed"),
}


class JobStrip:
    """Shows them, on a page."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._place = box("jobs")
        self._shown: dict[str, _Line] = {}
        self._look()
        ui.timer(EVERY, self._look)

    def add(self, job: JobResponse) -> None:
        """Show one that this page has begun, even if it ends at once."""
        with self._place:
            self._shown[job.id] = _Line(self._visit, job)
        self._look()

    def _look(self) -> None:
        """Show how far they are; what each is held here, so nothing is asked for."""
        visit = self._visit
        if visit.is_over:
            return
        for job in visit.api.jobs.get_list(visit.session.key):
            if job.state == "running" and job.id not in self._shown:
                with self._place:
                    self._shown[job.id] = _Line(visit, job)
        for id, line in list(self._shown.items()):
            if line.look():
                del self._shown[id]


class _Line:
    def __init__(self, visit: Visit, job: JobResponse) -> None:
        self._visit = visit
        self._job = job
        self._told = ""
        with box("job") as self.whole:
            with box("what"):
                self._words = text("")
                with Element("progress") as self._bar:
                    self._bar.props["aria-label"] = "How far it is"
            action(visit, "Stop", self._stop, icon="stop")

    def look(self) -> bool:
        """Show how far it is; say whether it has ended."""
        job = self._job
        if job.state == "running":
            words = f"{WORDS.get(job.what, (job.what.capitalize(), 'done'))[0]}: {_counts(job)}"
            if words != self._told:
                self._told = words
                self._words.text = words
                if job.total:
                    self._bar.props.update({"value": _seen(job), "max": max(job.total, _seen(job))})
                    self._bar.update()
            return False
        self.whole.clear()
        self.whole.classes(remove="job")
        if job.error is not None or job.progress.failures or job.state == "stopped":
            with self.whole:
                _ended(job)
        else:
            self._visit.tell(_told(job))
            self.whole.delete()
        return True

    async def _stop(self) -> None:
        jobs, key = self._visit.api.jobs, self._visit.session.key
        try:
            await jobs.stop_one(key, self._job.id)
        except AppError as error:
            self._visit.tell(error.message, "error")


def _ended(job: JobResponse) -> None:
    """Show one that did not go through; it stays until the page is left."""
    with box("problem") as whole:
        whole.props["role"] = "alert"
        if job.error is not None:
            text(f"{job.error.message} ", "span")
        if job.state == "stopped":
            text("It was stopped. ")
        text(_told(job))
        with Element("ul"):
            for failure in job.progress.failures[:MOST_FAILURES]:
                with Element("li"):
                    link(failure.id, url_of("/item", id=failure.id))
                    text(f": {failure.reason}", most=400)
        more = job.progress.failed - MOST_FAILURES
        if more > 0:
            text(f"and {more:,} more")


def _seen(job: JobResponse) -> int:
    progress = job.progress
    return progress.done + progress.changed + progress.failed


def _counts(job: JobResponse) -> str:
    return f"{_seen(job):,} of {job.total:,} items" if job.total else f"{_seen(job):,} items"


def _told(job: JobResponse) -> str:
    progress = job.progress
    done = WORDS.get(job.what, ("", "changed"))[1]
    words = f"{progress.done:,} {'item was' if progress.done == 1 else 'items were'} {done}"
    if progress.stopping:
        run = "runs and is" if progress.stopping == 1 else "run and are"
        words += f", {progress.stopping:,} of them {run} told to end"
    if progress.changed:
        words += f", {progress.changed:,} left alone, since somebody changed them meanwhile"
    if progress.failed:
        words += f", {progress.failed:,} could not be"
    return f"{words}."
