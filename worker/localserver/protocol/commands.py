"""All commands by name, and those of sign-in, message queues, watches and files."""

import json
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import Message

from worker.localserver.operations.services import Services
from worker.localserver.operations.users import LONG_LIFETIME
from worker.localserver.protocol import document_commands, item_commands
from worker.localserver.protocol.command import Call, Command, json_object
from worker.localserver.protocol.configuration import configuration
from worker.localserver.storage import json_text, rights
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.files import CHUNK
from worker.localserver.storage.files import COLLECTION as FILES
from worker.localserver.storage.user import User
from worker.openiap.wire import openiap_pb2 as pb


async def sign_in(call: Call, request: pb.SigninRequest) -> Message:
    """Sign a client in by password or token, and give it a token."""
    services = call.services
    now = services.options.clock()
    with call.client.signing_in():
        if request.jwt:
            try:
                user = services.users.user_of_token(request.jwt, now)
            except RefusedError as error:
                raise RefusedError(
                    "Discard signin due to invalid or expired jwt for client at "
                    f"{request.agent} {request.version}"
                ) from error
        elif not request.username:
            raise RefusedError("Username cannot be null")
        else:
            user = await services.sign_ins.by_password(
                call.client.address, request.username, request.password
            )
    if not request.validateonly:
        call.client.user = user
        call.client.pinged = request.ping
    lifetime = LONG_LIFETIME if request.longtoken else services.options.token_lifetime
    return pb.SigninResponse(
        jwt=services.users.token(user, lifetime, now),
        user=user_message(call, user),
        config=json_text.write(configuration(services.options)),
    )


def user_message(call: Call, user: User) -> pb.User:
    """Return a user as the protocol tells it."""
    document = call.services.users.document(user.id)
    message = pb.User(
        _id=user.id,
        name=str(document.get("name") or user.username),
        username=user.username,
        email=str(document.get("email") or ""),
    )
    for role, name in call.services.roles.names(user):
        message.roles.add(_id=role, name=name)
    return message


def get_element(call: Call, request: pb.GetElementRequest) -> Message:
    """Say something back: the cheap question whether anybody is there."""
    return pb.GetElementResponse(xpath=request.xpath)


def register_queue(call: Call, request: pb.RegisterQueueRequest) -> Message:
    """Listen to a message queue."""
    of_user = call.services.users.document(request.queuename)
    if of_user and not rights.may(call.user, of_user.get("_acl"), rights.INVOKE):
        raise RefusedError(
            f"[{call.user.username}] Unknown queue {request.queuename} or access denied, "
            f"missing invoke permission on users object {request.queuename}"
        )
    name = call.services.messages.register(request.queuename, call.client)
    return pb.RegisterQueueResponse(queuename=name)


def unregister_queue(call: Call, request: pb.UnRegisterQueueRequest) -> Message:
    """Listen no longer."""
    call.services.messages.unregister(request.queuename, call.client)
    return pb.UnRegisterQueueResponse()


def register_exchange(call: Call, request: pb.RegisterExchangeRequest) -> Message:
    """Make or join an exchange."""
    name = call.services.messages.register_exchange(request, call.client)
    return pb.RegisterExchangeResponse(queuename=name)


def queue_message(call: Call, request: pb.QueueMessageRequest) -> Message:
    """Send a message to a queue or an exchange; who gets it is told who sent it."""
    sent = pb.QueueMessageRequest()
    sent.CopyFrom(request)
    if not request.striptoken:
        sent.data = _signed(call, request.data)
    call.services.messages.publish(sent)
    return pb.QueueMessageResponse(
        queuename=request.queuename,
        correlationId=request.correlationId,
        replyto=request.replyto,
        routingkey=request.routingkey,
        exchangename=request.exchangename,
        data=request.data,
    )


def _signed(call: Call, data: str) -> str:
    """Return a message's data with its sender and a token of theirs, where it is an object.

    As on OpenIAP: agents take orders of nobody who is not named.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return data
    if not isinstance(found, dict):
        return data
    services, user = call.services, call.user
    token = services.users.token(user, services.options.token_lifetime, services.options.clock())
    roles = [{"_id": id, "name": name} for id, name in services.roles.names(user)]
    named = {"_id": user.id, "name": user.username, "username": user.username, "roles": roles}
    return json_text.write({**found, "__jwt": token, "__user": named})


def watch(call: Call, request: pb.WatchRequest) -> Message:
    """Be told of changes in a collection."""
    return pb.WatchResponse(
        id=call.services.watches.add(call.client, request.collectionname, list(request.paths))
    )


def unwatch(call: Call, request: pb.UnWatchRequest) -> Message:
    """Be told no longer."""
    call.services.watches.remove(request.id, call.client)
    return pb.UnWatchResponse()


def upload(call: Call, request: pb.UploadRequest) -> None:
    """Take a file; the answer comes when its stream has ended."""
    _require_files(request.collectionname)
    started = call.services.files.begin(request.filename, request.mimetype, request.metadata)
    started.metadata["_acl"] = rights.new_acl(
        started.metadata.get("_acl"), call.user, call.services.roles.name_of
    )
    call.client.expect_upload(call.id, started)


async def download(call: Call, request: pb.DownloadRequest) -> Message:
    """Send a file as a stream, then the answer."""
    _require_files(request.collectionname)
    files = call.services.files
    document = files.find(request.id, request.filename)
    if not may_download(call.services, call.user, document):
        raise RefusedError(f"Access denied, downloading {request.id}")
    file_id, length = str(document["_id"]), int(document.get("length") or 0)
    chunks = -(-length // CHUNK)
    if call.services.options.faults.truncate_downloads and length > CHUNK:
        chunks //= 2
    call.client.send("beginstream", pb.BeginStream(stat=pb.Stat(size=length)), call.id)
    for number in range(chunks):
        await call.client.can_send()
        data = files.chunk(file_id, number)
        if data is None:
            raise RefusedError(f"File {file_id} was deleted while it was sent")
        call.client.send("stream", pb.Stream(data=data), call.id)
    call.client.send("endstream", pb.EndStream(), call.id)
    return pb.DownloadResponse(
        id=file_id,
        filename=str(document.get("filename") or ""),
        mimetype=str(document.get("contentType") or ""),
    )


def may_download(services: Services, user: User, file: dict[str, Any]) -> bool:
    """Say whether a user may read a file, or a package that it is the archive of."""
    if rights.may(user, rights.acl_of(FILES, file), rights.READ):
        return True
    package = {"fileid": str(file["_id"]), "_type": "package"}
    return services.queries.count("agents", package, user) > 0


def custom_command(call: Call, request: pb.CustomCommandRequest) -> Message:
    """Register an agent, and refuse what needs the rest of OpenIAP; any other command is answered,
    and does nothing."""
    name = request.command
    if name == "registeragent":
        said = json_object(request.data, "data")
        if not said:
            raise RefusedError("No data found")
        agent = call.services.agents.register(said, request.id, call.user, call.services.now())
        return pb.CustomCommandResponse(result=json_text.write(agent))
    if name == "deletepackage":
        call.services.documents.delete_package(request.id, call.user)
    elif name in UNSUPPORTED:
        raise RefusedError(f"The local server does not support the custom command {name}")
    return pb.CustomCommandResponse()


def _require_files(collection: str) -> None:
    if collection not in ("", "fs.files", "files"):
        raise RefusedError(f"The local server keeps files in fs.files only, not in {collection}")


UNSUPPORTED: Final = frozenset(
    {
        "getclients",
        "dumpwebsocketclients",
        "killwebsocketclient",
        "clearcache",
        "heapdump",
        "shutdown",
        "webpushmessage",
        "startagent",
        "stopagent",
        "deleteagentpod",
        "getagentlog",
        "getagentpods",
        "deleteagent",
    }
)
"""Custom commands that OpenIAP knows."""
COMMANDS: Final[Mapping[str, Command]] = {
    "signin": Command(pb.SigninRequest, sign_in, guests=True),
    "getelement": Command(pb.GetElementRequest, get_element, guests=True),
    "registerqueue": Command(pb.RegisterQueueRequest, register_queue),
    "unregisterqueue": Command(pb.UnRegisterQueueRequest, unregister_queue),
    "registerexchange": Command(pb.RegisterExchangeRequest, register_exchange),
    "queuemessage": Command(pb.QueueMessageRequest, queue_message),
    "watch": Command(pb.WatchRequest, watch),
    "unwatch": Command(pb.UnWatchRequest, unwatch),
    "upload": Command(pb.UploadRequest, upload),
    "download": Command(pb.DownloadRequest, download),
    "customcommand": Command(pb.CustomCommandRequest, custom_command, writes=True),
    **item_commands.COMMANDS,
    **document_commands.COMMANDS,
}
