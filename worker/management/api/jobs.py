"""Changes of many items that go on while their user does something else.

A job belongs to a user, whatever the session, and nobody else sees it. It ends when it is done, is
stopped, or the user's last session ends: then nothing runs with rights of somebody who has left.
What it has not done yet is done by the same request again, with the moment ``before`` that its
answer has.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel

from worker.management.api.options import Limits
from worker.management.api.problems import ErrorResponse, answer_of
from worker.management.api.sessions import UserKey
from worker.management.errors import AppError, NotFoundError, RateLimitError
from worker.management.items.types import BatchResponse
from worker.telemetry.log import Log

KEPT: Final = 100
"""Ended jobs of one user whose end can still be looked at."""
KEPT_IN_ALL: Final = 1_000
AGAIN: Final = 5.0

JobState = Literal["running", "done", "stopped", "failed"]


class JobResponse(BaseModel):
    """A change of many items.

    Attributes:
        what: which: retry, cancel, delete, move, update; purge, delete queue.
        total: how many items it is about, where that is known.
        progress: what was done so far, and in the end.
        error: why it failed.
    """

    id: str
    what: str
    state: JobState
    began: datetime
    ended: datetime | None = None
    total: int | None = None
    progress: BatchResponse
    error: ErrorResponse | None = None


class _Job:
    def __init__(self, key: UserKey, response: JobResponse) -> None:
        self.key = key
        self.response = response
        self.task: asyncio.Task[None] | None = None


class Jobs:
    """The jobs of one process; shape: ``stop``."""

    def __init__(self, limits: Limits, log: Log) -> None:
        self._limits = limits
        self._log = log
        self._jobs: dict[str, _Job] = {}

    @property
    def running(self) -> int:
        """How many run."""
        return sum(job.response.state == "running" for job in self._jobs.values())

    def is_busy(self, key: UserKey) -> bool:
        """Say whether any of a user's runs."""
        return any(job.response.state == "running" for job in self._of(key))

    def start(
        self,
        key: UserKey,
        what: str,
        progress: BatchResponse,
        work: Callable[[], Awaitable[BatchResponse]],
        total: int | None = None,
    ) -> JobResponse:
        """Begin one.

        Args:
            progress: what ``work`` writes into as it goes on.

        Raises:
            RateLimitError: too many run.
        """
        self.require_room(key)
        response = JobResponse(
            id=secrets.token_hex(8),
            what=what,
            state="running",
            began=datetime.now(UTC),
            total=total,
            progress=progress,
        )
        response.progress = progress  # the very one, whose numbers grow
        job = self._jobs[response.id] = _Job(key, response)
        job.task = asyncio.create_task(self._run(job, work), name=f"job {response.id}")
        self._forget_old(key)
        return response

    def require_room(self, key: UserKey) -> None:
        """Refuse one more where too many run.

        Raises:
            RateLimitError: they do.
        """
        own = sum(job.response.state == "running" for job in self._of(key))
        if own >= self._limits.jobs_of_user or self.running >= self._limits.jobs:
            raise RateLimitError("Too many batches run at once; wait for one of them.", AGAIN)

    def get_one(self, key: UserKey, id: str) -> JobResponse:
        """Return a user's job.

        Raises:
            NotFoundError: this user has none of that id.
        """
        return self._found(key, id).response

    def get_list(self, key: UserKey) -> list[JobResponse]:
        """Return a user's jobs, the latest first."""
        return [job.response for job in reversed(self._of(key))]

    async def stop_one(self, key: UserKey, id: str) -> JobResponse:
        """Stop a user's job, and return what it has done.

        Raises:
            NotFoundError: this user has none of that id.
        """
        job = self._found(key, id)
        await _ended([job])
        return job.response

    async def stop_of(self, key: UserKey) -> None:
        """Stop all of a user, and forget them."""
        jobs = self._of(key)
        await _ended(jobs)
        for job in jobs:
            self._jobs.pop(job.response.id, None)

    async def stop(self) -> None:
        """Stop all."""
        await _ended(list(self._jobs.values()))

    async def _run(self, job: _Job, work: Callable[[], Awaitable[BatchResponse]]) -> None:
        response = job.response
        try:
            response.progress = await work()
            response.state = "done"
        except asyncio.CancelledError:
            response.state = "stopped"
            raise
        except AppError as error:
            response.state, response.error = "failed", answer_of(error)
        except Exception as error:  # a mistake in here: the job is over, the log says why
            self._log.error(f"{response.what}: {type(error).__name__}: {error}", job=response.id)
            response.state = "failed"
            response.error = answer_of(AppError("Something went wrong inside; the log says what."))
        finally:
            response.ended = datetime.now(UTC)

    def _of(self, key: UserKey) -> list[_Job]:
        return [job for job in self._jobs.values() if job.key == key]

    def _found(self, key: UserKey, id: str) -> _Job:
        job = self._jobs.get(id)
        if job is None or job.key != key:
            raise NotFoundError(f"There is no batch {id[:100]} of this user.", {"id": id[:100]})
        return job

    def _forget_old(self, key: UserKey) -> None:
        for jobs, most in ((self._of(key), KEPT), (list(self._jobs.values()), KEPT_IN_ALL)):
            over = [job for job in jobs if job.response.state != "running"][: len(jobs) - most]
            for job in over if len(jobs) > most else ():
                self._jobs.pop(job.response.id, None)


async def _ended(jobs: list[_Job]) -> None:
    tasks = [job.task for job in jobs if job.task is not None and not job.task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for job in jobs:  # a task that is cancelled before its first step never says so itself
        if job.response.state == "running":
            job.response.state, job.response.ended = "stopped", datetime.now(UTC)
