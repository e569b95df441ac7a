"""The checks of ``doctor``: one question to the installation each, one line as the answer."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib import metadata
from tempfile import TemporaryFile
from typing import Any, Final, Literal

import httpx

from worker._version import __version__
from worker.app.checked import checked
from worker.app.contracts import contract_of
from worker.app.registry import Registered, load_modules
from worker.cli.doctor.policies import disagreements
from worker.cli.doctor.resting import resting
from worker.cli.shared.client import patient, refused, unreachable
from worker.cli.shared.documents import first
from worker.durations import text as duration_text
from worker.engine.fleet.presence import COLLECTION as HEARTBEATS
from worker.errors import HandlerError, SettingsError
from worker.item.signals import COLLECTION as SIGNALS
from worker.openiap.address import parse_address
from worker.openiap.client import Client
from worker.openiap.errors import AccessDenied, OpenIAPError, ServerError
from worker.openiap.factory import NO_URL, make_client
from worker.openiap.rights import NEEDED, RIGHTS, WORKS, rights_of
from worker.openiap.server_info import is_loopback
from worker.openiap.types import User
from worker.openiap.upsert import upsert
from worker.openiap.workitem import JsonObject
from worker.settings import Settings
from worker.state.cells import COLLECTION as SHARED_STATE

Verdict = Literal["ok", "note", "failed"]

LIBRARY: Final = "openiap-edge"
LIBRARY_VERSION: Final = "0.0.38"
MOST_CLOCK_DIFFERENCE: Final = 5.0
CONFIG_TIMEOUT: Final = 5.0
DOCTOR: Final = "doctor"
"""The type of documents that are written to see whether they can be."""
RECORDS: Final = {
    HEARTBEATS: "items of a dead worker are found by their age alone (unclaimed_after)",
    SIGNALS: "nobody can tell a waiting item anything (item.wait_for)",
    SHARED_STATE: "keys, rates, unique pushes and pausing schedules do not work",
}
"""The collections that workers write for each other, and what is missing without them."""


@dataclass(frozen=True, slots=True)
class Check:
    """One answer."""

    name: str
    verdict: Verdict
    detail: str

    def as_json(self) -> dict[str, str]:
        """Return it for programs."""
        return asdict(self)


def of_library(version_of: Callable[[str], str] = metadata.version) -> Iterator[Check]:
    """Check which packages are installed.

    Args:
        version_of: a distribution's version, or PackageNotFoundError.
    """
    yield Check("worker", "ok", f"openiap-worker {__version__}")
    try:
        found = version_of(LIBRARY)
    except metadata.PackageNotFoundError:
        yield Check(
            "library", "failed", f"{LIBRARY} is missing: pip install {LIBRARY}=={LIBRARY_VERSION}"
        )
        return
    try:
        other = version_of("openiap")
    except metadata.PackageNotFoundError:
        other = ""
    if other:
        # Both install the module openiap and overwrite each other (client.md).
        yield Check(
            "library",
            "failed",
            f"the package openiap {other} overwrites {LIBRARY}: pip uninstall -y openiap {LIBRARY}"
            f" && pip install {LIBRARY}=={LIBRARY_VERSION}",
        )
    elif found != LIBRARY_VERSION:
        yield Check(
            "library",
            "failed",
            f"{LIBRARY} is {found}: pip install {LIBRARY}=={LIBRARY_VERSION} (later ones download"
            " their native library at run time)",
        )
    else:
        yield Check("library", "ok", f"{LIBRARY} {found}")


def of_client(settings: Settings) -> Iterator[Check]:
    """Say which client is in use, and what the other would change."""
    if settings.client == "official":
        yield Check(
            "client",
            "ok",
            "official; native would add bulk pushes, atomic fencing and speed",
        )
    else:
        yield Check(
            "client",
            "ok",
            "native; official is the library that OpenIAP itself publishes, slower and with less",
        )


def of_state(settings: Settings) -> Iterator[Check]:
    """Check that outcomes can be kept."""
    folder = settings.state_dir
    if not settings.outbox:
        yield Check("state_dir", "note", "not used: outbox is off, so a crash repeats work")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        yield Check(
            "state_dir",
            "failed",
            f"{folder}: {error.strerror or error}; set state_dir to a folder that can be written",
        )
        return
    yield Check("state_dir", "ok", f"{folder} can be written")


def of_handlers(settings: Settings) -> tuple[list[Check], dict[str, Registered | None]]:
    """Import the handlers; returns the answers and the queues to look at, with their handlers."""
    queues: dict[str, Registered | None] = dict.fromkeys(settings.work_queues())
    if not settings.handlers:
        return [Check("handlers", "note", "none set; run takes them from --handlers")], queues
    try:
        registry = checked(load_modules(settings.handlers), [*queues])
    except HandlerError as error:
        return [Check("handlers", "failed", str(error))], queues
    checks = [Check("handler", "ok", f"{one.queue}: {one.name}") for one in registry]
    for one in registry:
        try:
            contract_of(one.handler)
        except HandlerError as error:  # it works all the same; who pushes to it has no contract
            checks.append(Check("contract", "note", str(error)))
    return checks, {one.queue: one for one in registry}


async def of_server(settings: Settings) -> AsyncIterator[Check]:
    """Check URL, ``/config`` and the clock, without signing in."""
    if not settings.url:
        yield Check("URL", "failed", NO_URL)
        return
    address = parse_address(settings.url)
    yield Check("URL", "ok", settings.url)
    web = settings.http_url.rstrip("/") or address.web
    verify = str(settings.ca_file) if settings.ca_file else True
    host = httpx.URL(web).host
    began, now = time.monotonic(), datetime.now(UTC)
    try:
        async with httpx.AsyncClient(
            timeout=CONFIG_TIMEOUT, verify=verify, trust_env=not is_loopback(host)
        ) as http:
            answer = await http.get(f"{web}/config")
    except (httpx.HTTPError, OSError) as error:
        said = str(error) or type(error).__name__
        if address.link.startswith("grpc") and not settings.http_url:
            # Where OpenIAP's HTTP is does not follow from where its gRPC is.
            yield Check(
                "server",
                "note",
                f"{web}/config: {said}; set http_url to OpenIAP's web address (a gRPC port does not"
                " speak HTTP), or version and clock are not checked, and watches and metrics are"
                " off",
            )
        else:
            yield Check(
                "server", "failed", f"{web}/config: {said}; is it running, and the URL right?"
            )
        return
    took = time.monotonic() - began
    yield _config(f"{web}/config", answer, took)
    yield clock(answer.headers.get("date", ""), now + timedelta(seconds=took / 2), took)


def _config(url: str, answer: httpx.Response, took: float) -> Check:
    if answer.status_code != 200:
        return Check(
            "server", "note", f"{url} answers {answer.status_code}; metrics and watches are off"
        )
    try:
        config: Any = answer.json()
    except ValueError:
        return Check("server", "note", f"{url} is not JSON; is this OpenIAP?")
    version = config.get("version", "unknown") if isinstance(config, dict) else "unknown"
    return Check("server", "ok", f"version {version}, answered in {duration_text(took)}")


def clock(date: str, now: datetime, took: float) -> Check:
    """Compare this machine's clock with the server's.

    Args:
        date: the HTTP header ``Date``, which has whole seconds.
        now: this machine's time when the server wrote it, as far as that is known.
        took: seconds that the request took; the comparison is no better than that.
    """
    try:
        theirs = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return Check("clock", "note", "the server does not tell its time")
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=UTC)
    difference = (now - theirs).total_seconds() - 0.5
    if abs(difference) <= MOST_CLOCK_DIFFERENCE + took:
        return Check(
            "clock", "ok", "within a second" if abs(difference) <= 1 else _apart(difference)
        )
    return Check("clock", "failed", f"{_apart(difference)}; set this machine's clock by NTP")


def _apart(difference: float) -> str:
    return f"{abs(difference):.0f} s {'ahead of' if difference > 0 else 'behind'} the server"


async def of_sign_in(
    settings: Settings, queues: Mapping[str, Registered | None]
) -> AsyncIterator[Check]:
    """Sign in and look at the queues."""
    try:
        client = make_client(settings, __version__)
    except SettingsError as error:
        yield Check("sign-in", "failed", str(error))
        return
    try:
        began = time.monotonic()
        await client.connect()
        yield Check("sign-in", "ok", _who(client.user, time.monotonic() - began))
        if not queues:
            yield Check("queues", "note", "none to look at: no handlers and no queue set")
        for queue, handler in queues.items():
            document = await _document(patient(client), queue)
            yield await _of_queue(patient(client), queue, document)
            if isinstance(document, dict):
                for what, said in resting(document, datetime.now(UTC)):
                    yield Check(what, "note", said)
            if handler is not None and isinstance(document, dict):
                for said in disagreements(handler, document):
                    yield Check("policy", "note", said)
        for collection, without in RECORDS.items():
            yield await of_records(patient(client), collection, without)
            history = await of_history(patient(client), collection)
            if history is not None:
                yield history
    except AccessDenied as error:
        yield Check("sign-in", "failed", refused(settings, error.text))
    except OpenIAPError as error:
        yield Check("sign-in", "failed", unreachable(settings, error.text))
    finally:
        await client.disconnect()


def _who(user: User | None, took: float) -> str:
    if user is None:
        return f"in {duration_text(took)}"
    roles = f", roles {', '.join(user.roles)}" if user.roles else ""
    return f"{user.username or user.name}{roles}, in {duration_text(took)}"


async def _document(client: Client, name: str) -> JsonObject | str:
    """Return a queue's document, or why there is none to be had."""
    try:
        found = await first(client, "mq", {"_type": "workitemqueue", "name": name})
    except OpenIAPError as error:
        return f"{name}: {error.text}"
    return found or (
        f"{name} does not exist, or this user may not see it; to create it: openiap-worker queues"
        f" create {name}"
    )


async def _of_queue(client: Client, name: str, document: JsonObject | str) -> Check:
    if isinstance(document, str):
        return Check("queue", "failed", document)
    try:
        counts = {
            state: await client.count("workitems", {"wiq": name, "state": state})
            for state in ("new", "processing")
        }
    except OpenIAPError as error:
        return Check("queue", "failed", f"{name}: {error.text}")
    rights = rights_of(document, client.user)
    waiting = f"{name}: {counts['new']:,} new, {counts['processing']:,} processing"
    if rights is not None and not set(NEEDED) <= rights:
        missing = [f"{right} ({why})" for right, why in NEEDED.items() if right not in rights]
        return Check(
            "queue",
            "failed",
            f"{waiting}; this user lacks the right to {', '.join(missing)}; whoever may change the"
            f" queue gives it: openiap-worker queues update {name} --role NAME, or rights"
            f" {WORKS} in its _acl",
        )
    shown = "not told" if rights is None else "all" if len(rights) == len(RIGHTS) else ""
    shown = shown or ", ".join(right for right in RIGHTS if right in (rights or ()))
    return Check("queue", "ok", f"{waiting}; rights: {shown}")


async def of_records(client: Client, collection: str, without: str) -> Check:
    """Check that this user may write a collection, by a document that is deleted at once.

    Args:
        without: what does not work when it may not.
    """
    document: JsonObject = {"_id": f"doctor/{client.uniqeid()}", "_type": DOCTOR}
    try:
        await upsert(client, collection, document)
        await client.delete_one(collection, str(document["_id"]))
    except (AccessDenied, ServerError) as error:
        return Check("records", "note", f"{collection} cannot be written ({error.text}): {without}")
    return Check("records", "ok", f"{collection} can be written")


async def of_history(client: Client, collection: str) -> Check | None:
    """Look whether OpenIAP keeps a history of a collection that changes all the time; None where
    nothing is seen of one.

    The setting itself cannot be read; but what ``of_records`` deletes is kept in the history, which
    its user may read, and the trace is removed.
    """
    history, traces = f"{collection}_hist", {"item._type": DOCTOR, "_deletedby": {"$ne": None}}
    try:
        if not await client.query(history, traces, {"_id": 1}, top=1):
            return None
        await client.delete_many(history, traces)
    except OpenIAPError:
        return None  # it is not for this user to see
    return Check(
        "history",
        "note",
        f"OpenIAP keeps every change of {collection} in {history}: ask the administrator to add"
        f" {collection} to its setting skip_history_collections",
    )
