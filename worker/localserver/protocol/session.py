"""One client's connection: what comes in, in order, becomes commands; replies go out numbered.

1. Messages are numbered by the sender; one that is not higher than the last ends the connection.
2. A command is answered always: by its reply, or by ``error`` whatever went wrong.
3. More messages than the rate limit allows are answered with OpenIAP's refusal, not executed.
4. What belongs to the connection (queues, watches, half uploads) ends with it.
"""

import asyncio
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from google.protobuf.message import DecodeError, Message

from worker.localserver.operations.services import Services
from worker.localserver.protocol.command import Call, Command
from worker.localserver.protocol.commands import COMMANDS, user_message
from worker.localserver.storage.errors import RefusedAfterChangeError, RefusedError
from worker.localserver.storage.files import Upload
from worker.localserver.storage.ids import new_id
from worker.localserver.storage.user import User
from worker.openiap.wire import openiap_pb2 as pb
from worker.openiap.wire.envelope import WireError, build, message_name, parse

GUEST: Final = User("", "guest")
STREAM: Final = frozenset({"beginstream", "stream", "endstream"})
WINDOW: Final = 1.0
UNCOUNTED: Final = frozenset({"getelement", "upload", "download"})
"""Commands that the rate limit lets through."""
MOST_FAILED_SIGN_INS: Final = 5
GUEST_MESSAGE: Final = 64 * 1024
"""Largest message taken from who is not signed in, in bytes."""
MAX_MESSAGE: Final = 64 * 1024 * 1024
"""Largest message taken or sent, in bytes; OpenIAP asks for at least 25 MB."""
SEND_BUFFER: Final = 4 * 1024 * 1024
"""Bytes that may wait to leave before those who send a lot have to wait."""
MOST_UNREAD: Final = 32 * 1024 * 1024
"""Bytes that may wait to leave at all: a client that does not read them loses its connection."""


class Link(Protocol):
    """The transport under a session."""

    address: str
    """Where the client is, without its port."""
    numbered: bool
    """Whether a client's numbers must rise; OpenIAP looks at them on websockets only."""

    def send(self, body: bytes) -> None:
        """Send one encoded envelope with the next ``push``."""

    def push(self) -> None:
        """Hand what was sent to the network, without waiting."""

    def close(self) -> None:
        """End the connection at once."""

    async def can_send(self) -> None:
        """Wait until most of what was sent has left."""

    def trust(self) -> None:
        """Take large messages from now on: the client has signed in."""


class Session:
    """The server's side of one connection."""

    def __init__(self, services: Services, link: Link) -> None:
        self.address = link.address
        self.opened: Final = time.monotonic()
        self.heard = time.monotonic()
        self.pinged = False
        """Whether the client has asked for pings."""
        self._services = services
        self._options = services.options
        self._link = link
        self._sent = 0
        self._received = -1
        self._window_start = 0.0
        self._window_points = 0
        self._uploads: dict[str, tuple[Upload, Call, float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._token_time = 0.0
        self._closed = False
        self._cut = False
        self._user: User | None = None
        self._signing_in = False
        self._failed_sign_ins = 0

    @property
    def user(self) -> User | None:
        """Who has signed in."""
        return self._user

    @user.setter
    def user(self, user: User | None) -> None:
        self._user = user
        if user is not None:
            self._link.trust()

    @contextmanager
    def signing_in(self) -> Iterator[None]:
        """Take one sign-in by password at a time; one too many that is refused ends the connection.

        Raises:
            RefusedError: another one of this connection waits for its answer.
        """
        if self._signing_in:
            self._failed_sign_ins += 1
            raise RefusedError("One sign-in at a time")
        self._signing_in = True
        try:
            yield
        except RefusedError:
            self._failed_sign_ins += 1
            raise
        finally:
            self._signing_in = False

    def open(self) -> None:
        """Greet the client with a ping, as OpenIAP does."""
        self.ping()

    def ping(self) -> None:
        """Ask the client for a sign of life."""
        self.send("ping", None)

    def renew(self) -> None:
        """Renew the client's token in time."""
        now = self._options.clock()
        if self.user is not None and now - self._token_time > self._options.token_lifetime / 2:
            self._refresh_token(self.user, now)

    def receive(self, body: bytes) -> None:
        """Take one encoded envelope.

        Args:
            body: as it came; a client that sends nonsense loses its connection.
        """
        if self._cut:
            return
        self.heard = time.monotonic()
        if self._user is None and len(body) > GUEST_MESSAGE:
            self._cut_off(f"{len(body)} bytes before the sign-in")
            return
        try:
            envelope = parse(body)
        except WireError as error:
            self._cut_off(str(error))
            return
        if self._link.numbered and envelope.seq <= self._received:
            self._cut_off(
                f"sequence {envelope.seq} is lower than last received "
                f"sequence number {self._received}"
            )
            return
        self._received = envelope.seq
        if self._options.faults.silent:
            return
        command = envelope.command
        if command in STREAM:
            self._stream(envelope)
        elif command in {"ping", "pong"} or envelope.rid:
            return
        else:
            self._command(command, envelope)

    def send(self, command: str, message: Message | None, rid: str = "") -> None:
        """Send a message behind the next commit."""
        self._services.replies.add(self, command, message, rid)

    def deliver(self, command: str, message: Message | None, rid: str) -> None:
        """Send a message with the next ``push``, under the next number."""
        if self._closed or self._options.faults.silent:
            return
        seq = self._sent
        self._sent += 1
        envelope = build(command, message, id=str(seq) if rid else new_id(), rid=rid, seq=seq)
        self._link.send(envelope.SerializeToString())

    def push(self) -> None:
        """Hand what was delivered to the network."""
        self._link.push()

    async def can_send(self) -> None:
        """Wait until the client has taken most of what was sent to it."""
        # One turn of the loop, so that what waits for the commit is on its way and counted.
        await asyncio.sleep(0)
        await self._link.can_send()

    def expect_upload(self, request_id: str, upload: Upload) -> None:
        """Take the stream that follows an upload's request."""
        call = Call(self._services, self, self.user or GUEST, request_id, "upload")
        self._uploads[request_id] = (upload, call, time.monotonic())

    def close(self) -> None:
        """Forget everything that belongs to the connection."""
        if self._closed:
            return
        self._closed = True
        self._services.messages.forget(self)
        self._services.watches.forget(self)
        for task in self._tasks:
            task.cancel()
        for upload, _, _ in self._uploads.values():
            self._services.files.drop(upload)
        if self._uploads:
            self._services.replies.schedule()
            self._uploads.clear()

    def disconnect(self) -> None:
        """End the connection at once."""
        self._link.close()

    def _command(self, name: str, envelope: pb.Envelope) -> None:
        if self._user is None and len(self._tasks) >= MOST_FAILED_SIGN_INS:
            self._cut_off("too many requests before the sign-in")
            return
        refused = None if name in UNCOUNTED else self._over_limit()
        if refused is not None:
            self._error(envelope.id, refused)
            return
        command = COMMANDS.get(name)
        if command is None:
            self._services.stats["unknown"] += 1
            what = message_name(envelope)
            text = f"no such type: openiap.{what}" if what else f"Unknown command {name}"
            if what and hasattr(pb, what):
                text = f"The local server does not support the command {name}"
            self._error(envelope.id, text)
            return
        self._services.stats[name] += 1
        if self._options.faults.refuses(name):
            self._error(envelope.id, "the database does not answer (fault)")
            return
        delay = self._options.faults.delay.get(name, 0.0)
        if delay > 0:
            self._spawn(self._later(delay, name, command, envelope))
            return
        self._execute(name, command, envelope)

    async def _later(
        self, delay: float, name: str, command: Command, envelope: pb.Envelope
    ) -> None:
        await asyncio.sleep(delay)
        self._execute(name, command, envelope)

    def _execute(self, name: str, command: Command, envelope: pb.Envelope) -> None:
        services = self._services
        before = services.replies.position()
        try:
            user = self._acting(command, envelope)
            call = Call(services, self, user, envelope.id, name)
            request = command.request.FromString(envelope.data.value)
            if command.writes:
                with services.store.undone_on_error():
                    answer = command.run(call, request)
            else:
                answer = command.run(call, request)
        except RefusedAfterChangeError as error:
            self._error(envelope.id, str(error))
        except RefusedError as error:
            services.replies.drop_since(before)
            self._error(envelope.id, str(error))
        except DecodeError:
            self._error(envelope.id, f"the data is not a {command.request.__name__}")
        except Exception as error:  # no command stays without an answer: its client would wait
            services.replies.drop_since(before)
            self._failure(envelope, error)
        else:
            if isinstance(answer, Message):
                self._reply(envelope, answer)
            elif answer is not None:
                self._spawn(self._finish(answer, envelope))
        services.replies.flush_full()

    async def _finish(self, answer: Awaitable[Message | None], envelope: pb.Envelope) -> None:
        try:
            message = await answer
        except RefusedError as error:
            self._error(envelope.id, str(error))
            if self._failed_sign_ins >= MOST_FAILED_SIGN_INS and not (self._closed or self._cut):
                self._services.replies.flush()
                self._cut_off("too many sign-ins were refused")
        except Exception as error:  # as in _execute
            self._failure(envelope, error)
        else:
            if message is not None:
                self._reply(envelope, message)

    def _reply(self, envelope: pb.Envelope, message: Message) -> None:
        name = envelope.command
        if self._options.faults.loses_reply(name):
            self._services.replies.schedule()
            return
        if name == "signin":
            self._token_time = self._options.clock()
        self.send(name if name == "getelement" else f"{name}reply", message, envelope.id)

    def _error(self, rid: str, text: str) -> None:
        self.send("error", pb.ErrorResponse(message=text), rid)

    def _failure(self, envelope: pb.Envelope, error: Exception) -> None:
        """Answer what nobody foresaw."""
        text = f"{envelope.command} failed: {type(error).__name__}: {error}"
        self._options.log(text)
        self._error(envelope.id, text)

    def _acting(self, command: Command, envelope: pb.Envelope) -> User:
        roles = self._services.roles
        token = envelope.jwt
        if token and envelope.command != "signin":
            named = self._services.users.user_of_token(token, self._options.clock())
            return roles.current(named)
        if self._user is not None:
            self._user = roles.current(self._user)
            return self._user
        if command.guests:
            return GUEST
        raise RefusedError("Not signed in, and missing jwt")

    def _over_limit(self) -> str | None:
        limit = self._options.rate_limit
        if limit <= 0:
            return None
        now = time.monotonic()
        if now - self._window_start >= WINDOW:
            self._window_start, self._window_points = now, 0
        self._window_points += 1
        if self._window_points <= limit:
            return None
        self._services.stats["ratelimited"] += 1
        return f"Rate limit exceeded consumedPoints: {self._window_points}"

    def _stream(self, envelope: pb.Envelope) -> None:
        """Take a part of an upload; parts of one that was refused are ignored."""
        expected = self._uploads.get(envelope.rid)
        if expected is None or envelope.command == "beginstream":
            return
        upload, call, started = expected
        try:
            if envelope.command == "stream":
                upload.add(pb.Stream.FromString(envelope.data.value).data)
                self._services.replies.schedule()
                return
            del self._uploads[envelope.rid]
            self._services.files.finish(upload, call.user, self._services.now())
        except Exception as error:  # as in _execute; nothing of the file may stay, either
            self._uploads.pop(envelope.rid, None)
            self._services.files.drop(upload)
            self._error(envelope.rid, f"upload failed: {type(error).__name__}: {error}")
            return
        took = max(time.monotonic() - started, 0.001)
        megabytes = upload.length / 1024 / 1024
        reply = pb.UploadResponse(
            id=upload.id,
            filename=upload.filename,
            bytes=upload.length,
            chunks=upload.chunks,
            mb=megabytes,
            elapsedTime=int(took * 1000),
            mbps=megabytes / took,
        )
        if not self._options.faults.loses_reply("upload"):
            self.send("uploadreply", reply, envelope.rid)

    def _refresh_token(self, user: User, now: float) -> None:
        self._token_time = now
        call = Call(self._services, self, user, "", "refreshtoken")
        token = self._services.users.token(user, self._options.token_lifetime, now)
        self.send(
            "refreshtoken",
            pb.RefreshToken(username=user.username, jwt=token, user=user_message(call, user)),
        )

    def _cut_off(self, why: str) -> None:
        """End the connection, and take nothing more that has come over it already."""
        self._cut = True
        self._options.log(f"connection closed: {why}")
        self._link.close()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
