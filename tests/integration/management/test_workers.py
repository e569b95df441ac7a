"""Workers as operators see and steer them: real workers, a real server, and an ordinary user."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.integration.management.failures import ORDINARY
from worker import Item, handler
from worker.engine.daemon import Daemon
from worker.engine.fleet.mailbox import COLLECTION as MAILBOXES
from worker.engine.fleet.presence import COLLECTION
from worker.management.queues.service import Queues
from worker.management.queues.types import QueueGetPayload
from worker.management.workers.errors import (
    NotLivingError,
    NoWorkersError,
    OtherQueuesError,
    WorkerNotFoundError,
)
from worker.management.workers.service import Workers
from worker.management.workers.types import (
    WorkerDetailResponse,
    WorkerFilter,
    WorkerGetPayload,
    WorkersGetHourPayload,
    WorkersGetPListPayload,
    WorkersSteerBatchPayload,
)
from worker.openiap.client import Client
from worker.openiap.workitem import JsonObject
from worker.testing.local_openiap import LocalOpenIAP

DEADLINE = 60.0
ME = "worker-1"


class Work:
    """What the handler's runs wait for."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.began = 0


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def daemon(openiap: LocalOpenIAP, work: Work) -> AsyncIterator[Daemon]:
    @handler("jobs", concurrency=2, timeout="1h")
    async def job(payload: dict[str, Any], item: Item) -> None:
        await item.progress(0.4, "page 3 of 8")
        work.began += 1
        await work.go.wait()

    running = await openiap.start_worker(job, worker_id=ME, operators=ORDINARY_OPERATORS)
    await until(lambda: has_mailbox(openiap.client))
    yield running
    work.go.set()


ORDINARY_OPERATORS: list[str] = []


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await holds():
            await asyncio.sleep(0.05)


async def has_mailbox(client: Client) -> bool:
    found = await client.query(COLLECTION, {"_id": ME}, {"lastseen.report.mailbox": 1})
    return bool(found and found[0].get("lastseen", {}).get("report", {}).get("mailbox"))


async def mailbox_of(client: Client) -> JsonObject:
    (found,) = await client.query(MAILBOXES, {"worker": ME})
    return found


async def steer(client: Client, action: str, **more: Any) -> tuple[bool, str]:
    asked = WorkersSteerBatchPayload.model_validate({"action": action, **more})
    (one,) = (await Workers(client).steer_batch(asked)).workers
    return one.done, one.text


async def shown(client: Client) -> WorkerDetailResponse:
    return await Workers(client).get_one(WorkerGetPayload(id=ME))


async def test_what_was_held_or_full_for_long_is_no_trouble_when_it_may_pop_again(
    client: Client, openiap: LocalOpenIAP, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.telemetry.telemetry.STALLED_AFTER", 0.5)

    @handler("jobs", concurrency=1)
    async def job(payload: dict[str, Any]) -> None:
        work.began += 1
        await work.go.wait()

    await openiap.start_worker(job, worker_id=ME, poll_interval=0.1)
    await until(lambda: has_mailbox(client))
    for before, action, more in (
        ("quiet", "resume", {}),
        ("stacks", "concurrency", {"queue": "jobs", "value": 2}),
    ):
        await steer(client, before)
        await asyncio.sleep(0.7)  # longer than a worker with a free slot may be without a pop
        done, _ = await steer(client, action, **more)
        assert done
        assert (await shown(client)).trouble == ""
        if action == "resume":
            await openiap.push("jobs", {})

            async def runs() -> bool:
                return work.began == 1

            await until(runs)
    work.go.set()


async def test_a_worker_is_shown_with_what_it_does_and_steered_until_it_ends(
    client: Client, openiap: LocalOpenIAP, daemon: Daemon, work: Work
) -> None:
    id = await openiap.push("jobs", {})

    async def told() -> bool:
        worker = await shown(client)
        return bool(worker.items and worker.items[0].progress)

    await until(told)
    worker = await shown(client)
    (item,) = worker.items
    assert (item.id, item.progress, item.text) == (id, 0.4, "page 3 of 8")
    assert item.since is not None
    assert item.deadline is not None
    assert (item.deadline - item.since).total_seconds() == 3600
    assert (worker.state, worker.queues[0].concurrency, worker.trouble) == ("working", 2, "")

    done, text = await steer(client, "stacks")
    assert done
    assert "await work.go.wait()" in text

    assert await steer(client, "quiet") == (True, "it takes no more items; those in flight go on")
    await openiap.push("jobs", {})
    page = await Workers(client).get_plist(WorkersGetPListPayload())
    assert page.items[0].state == "quiet"
    assert re.fullmatch(r"since \S+ \d\d:\d\d:\d\d UTC by tester", page.items[0].quiet)
    assert page.items[0].trouble == ""
    assert work.began == 1
    done, _ = await steer(client, "resume")
    assert done

    async def both_run() -> bool:
        return work.began == 2

    await until(both_run)
    done, text = await steer(client, "concurrency", queue="jobs", value=3)
    assert (done, text) == (True, "concurrency of jobs: 2 before, 3 now")
    await openiap.push("jobs", {})

    async def all_run() -> bool:
        return work.began == 3

    await until(all_run)
    assert (await shown(client)).queues[0].concurrency == 3
    done, text = await steer(client, "concurrency", queue="jobz", value=3)
    assert not done
    assert "it does not work queue jobz" in text
    named = WorkerFilter(ids=[(await shown(client)).id], queue="jobz")
    with pytest.raises(OtherQueuesError, match=r"does not work queue jobz; it works: jobs\."):
        await steer(client, "concurrency", queue="jobz", value=3, filter=named)
    done, _ = await steer(client, "log_level", value="error")
    assert done
    assert daemon.telemetry.log.level == "error"

    done, text = await steer(client, "stop")
    assert (done, text) == (True, "it drains and ends; 3 items in flight")
    work.go.set()
    async with asyncio.timeout(DEADLINE):
        await daemon.stop()

    gone = await shown(client)
    assert gone.state == "gone"
    assert gone.answers[-1].by == "tester"
    (hour,) = await Workers(client).get_hour(WorkersGetHourPayload())
    assert (hour.queue, hour.successful) == ("jobs", 3)
    minutes = [one for one in hour.minutes if one.successful]
    assert minutes[0].run_median is not None
    of_all = await Workers(client).get_hour_of_all(WorkersGetHourPayload())
    assert of_all == hour.model_copy(update={"queue": ""})
    queue = await Queues(client).get_one(QueueGetPayload(name="jobs"))
    assert queue.last_hour == hour
    assert await client.query(MAILBOXES, {}) == []
    with pytest.raises(NoWorkersError):
        await steer(client, "quiet")
    with pytest.raises(NoWorkersError, match="No living worker works queue jobs"):
        await steer(client, "quiet", filter=WorkerFilter(queue="jobs"))
    with pytest.raises(WorkerNotFoundError):
        await steer(client, "quiet", filter=WorkerFilter(ids=["nobody"]))
    with pytest.raises(NotLivingError, match="takes no commands: it is gone"):
        await steer(client, "quiet", filter=WorkerFilter(ids=[gone.id]))


async def test_whoever_takes_the_name_of_a_worker_that_is_gone_need_not_wait(
    openiap: LocalOpenIAP, daemon: Daemon, work: Work, tmp_path: Any
) -> None:
    work.go.set()
    await openiap.ended(await openiap.push("jobs", {}))
    await daemon.stop()
    (gone,) = await openiap.client.query(COLLECTION, {"_id": ME})
    assert gone["_type"] == "worker_gone"

    @handler("jobs")
    async def job(payload: dict[str, Any]) -> None: ...

    another = {"worker_id": ME, "state_dir": str(tmp_path / "another"), "dead_after": 3600}
    async with asyncio.timeout(DEADLINE):
        await openiap.start_worker(job, **another)
    (living,) = await openiap.client.query(COLLECTION, {"_id": ME})
    assert living["_type"] == "worker"


async def test_what_others_could_have_written_is_not_obeyed(
    openiap: LocalOpenIAP, daemon: Daemon, ordinary: Client
) -> None:
    """The very calls that forge what they can on OpenIAP: the maker of one's own documents."""
    admin = openiap.client
    box = await mailbox_of(admin)
    now = (await admin.query(COLLECTION, {"_id": ME}))[0]["_modified"]
    command = {"id": "forged", "action": "quiet", "expires": 32_503_680_000_000}
    owner = {"_createdbyid": box["_createdbyid"], "_createdby": box["_createdby"]}
    assert await ordinary.query(MAILBOXES, {}) == []
    change = {"$set": {"commands": [command]}}
    result = await ordinary.update_document(MAILBOXES, {"_id": box["_id"]}, change)
    assert result.matched == 0
    await ordinary.insert_one(
        MAILBOXES, {"_id": "mine", "_type": "mailbox", "worker": ME, "commands": [command]}
    )
    made = await ordinary.update_document(
        MAILBOXES, {"_id": "mine"}, {"$set": {**owner, "_created": now}}
    )
    assert made.matched == 1
    (mine,) = await ordinary.query(MAILBOXES, {"_id": "mine"})
    assert mine["_createdbyid"] == box["_createdbyid"], "so that proves nothing"
    assert mine["_modifiedbyid"] != box["_createdbyid"], "and this cannot be forged"

    # In the place of the worker's own, once that is gone; and the worker is told of it.
    await admin.delete_one(MAILBOXES, box["_id"])
    await ordinary.insert_one(
        MAILBOXES, {**mine, "_id": box["_id"], "commands": [command], "seal": "guessed"}
    )

    async def another_box() -> bool:
        found = await admin.query(MAILBOXES, {"worker": ME, "_id": {"$nin": ["mine", box["_id"]]}})
        told = await admin.query(COLLECTION, {"_id": ME})
        return bool(found) and (told[0]["lastseen"]["report"].get("mailbox") == found[0]["_id"])

    await until(another_box)
    assert await steer(admin, "resume") == (True, "it takes items again")
    assert not (await shown(admin)).quiet
    assert [one.id for one in (await shown(admin)).answers] != ["forged"]
    with pytest.raises(NoWorkersError):
        await steer(ordinary, "quiet")


async def test_a_mailbox_that_was_opened_to_others_counts_for_nothing(
    openiap: LocalOpenIAP, daemon: Daemon, ordinary: Client
) -> None:
    admin = openiap.client
    box = await mailbox_of(admin)
    assert ordinary.user is not None
    ace = {"_id": ordinary.user.id, "name": ORDINARY, "rights": 6}
    await admin.update_one(MAILBOXES, {**box, "_acl": [*box["_acl"], ace]})
    (seen,) = await ordinary.query(MAILBOXES, {"_id": box["_id"]})
    command = {"id": "c", "action": "quiet", "expires": 32_503_680_000_000}
    await ordinary.update_one(MAILBOXES, {**seen, "commands": [command]})
    done, text = await steer(admin, "quiet", within=1)
    assert not done
    assert "no answer" in text
    assert not (await shown(admin)).quiet


async def test_an_operator_who_is_named_may_steer_and_is_named_by_the_server(
    openiap: LocalOpenIAP, ordinary: Client
) -> None:
    @handler("jobs")
    async def job(payload: dict[str, Any]) -> None: ...

    await openiap.start_worker(job, worker_id=ME, operators=(ORDINARY,))
    await until(lambda: has_mailbox(openiap.client))
    admin, (presence,) = openiap.client, await openiap.client.query(COLLECTION, {"_id": ME})
    assert ordinary.user is not None
    reads = {"_id": ordinary.user.id, "name": ORDINARY, "rights": 2}
    await admin.update_one(COLLECTION, {**presence, "_acl": [*presence["_acl"], reads]})
    assert await steer(ordinary, "quiet") == (
        True,
        "it takes no more items; those in flight go on",
    )
    (answer,) = (await shown(admin)).answers
    assert answer.by == ORDINARY


async def test_each_command_is_done_once_and_none_whose_time_is_over(
    openiap: LocalOpenIAP, daemon: Daemon
) -> None:
    admin = openiap.client
    box = await mailbox_of(admin)
    over = {"id": "over", "action": "quiet", "expires": 1_000}
    for_ever = {"id": "for-ever", "action": "quiet", "expires": 32_503_680_000_000}
    await admin.update_one(MAILBOXES, {**box, "commands": [over, for_ever]})

    async def answered() -> bool:
        return {one.id for one in (await shown(admin)).answers} >= {"over", "for-ever"}

    await until(answered)
    worker = await shown(admin)
    assert not worker.quiet
    assert [one.done for one in worker.answers] == [False, False]
    await steer(admin, "quiet")
    await steer(admin, "resume")
    before = len((await shown(admin)).answers)
    box = await mailbox_of(admin)
    await admin.update_one(MAILBOXES, {**box, "again": True})  # seen again, all of it
    await openiap.cut_links()
    assert (await steer(admin, "log_level", value="debug"))[0]
    worker = await shown(admin)
    assert not worker.quiet
    assert len(worker.answers) == before + 1


async def test_of_what_may_carry_a_forged_stamp_nobody_is_named(
    openiap: LocalOpenIAP, daemon: Daemon
) -> None:
    """A conditional update is not always stamped by OpenIAP; a replacement is."""
    admin, box = openiap.client, await mailbox_of(openiap.client)
    expires = (await Workers(admin)._store.now()).timestamp() + 60
    command = {"id": "c", "action": "quiet", "expires": int(expires * 1000)}
    await admin.update_document(MAILBOXES, {"_id": box["_id"]}, {"$push": {"commands": command}})

    async def is_quiet() -> bool:
        return (await shown(admin)).state == "quiet"

    await until(is_quiet)
    (answer,) = (await shown(admin)).answers
    assert (answer.done, answer.by) == (True, "")


async def test_two_who_steer_in_the_same_moment_are_both_heard(
    openiap: LocalOpenIAP, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await asyncio.gather(
        steer(openiap.client, "quiet"),
        steer(openiap.client, "log_level", value="error"),
        steer(openiap.client, "concurrency", queue="jobs", value=4),
    )
    assert [done for done, _ in told] == [True, True, True]
    assert len((await shown(openiap.client)).answers) == 3


async def test_without_watches_commands_come_with_the_heartbeat(
    openiap: LocalOpenIAP, monkeypatch: pytest.MonkeyPatch
) -> None:
    @handler("jobs")
    async def job(payload: dict[str, Any]) -> None: ...

    async def no_watch(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr("worker.engine.fleet.mailbox.Mailbox._listen", no_watch)
    await openiap.start_worker(job, worker_id=ME)
    await until(lambda: has_mailbox(openiap.client))
    assert (await steer(openiap.client, "quiet"))[0]


async def test_a_worker_that_is_not_to_be_steered_says_so(openiap: LocalOpenIAP) -> None:
    @handler("jobs")
    async def job(payload: dict[str, Any]) -> None: ...

    await openiap.start_worker(job, worker_id=ME, steering=False)
    done, text = await steer(openiap.client, "quiet")
    assert not done
    assert "takes no commands" in text
    assert await openiap.client.query(MAILBOXES, {}) == []


async def test_mailboxes_of_the_dead_are_forgotten_and_no_others(
    openiap: LocalOpenIAP, daemon: Daemon
) -> None:
    from datetime import timedelta

    from worker.engine.fleet.mailbox import forget_mailboxes

    admin = openiap.client
    await admin.insert_one(MAILBOXES, {"_id": "left", "_type": "mailbox", "worker": "dead"})
    await admin.insert_one(MAILBOXES, {"_id": "earlier", "_type": "mailbox", "worker": ME})
    now = await Workers(admin)._store.now()
    await forget_mailboxes(admin, now - timedelta(hours=1))
    assert await admin.count(MAILBOXES, {}) == 3
    await forget_mailboxes(admin, now + timedelta(hours=1))
    (kept,) = await admin.query(MAILBOXES, {})
    assert kept["_id"] == (await mailbox_of(admin))["_id"]
