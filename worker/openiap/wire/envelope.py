"""Envelopes: the one message that travels in both directions, and what it carries.

Pure functions over bytes and messages; no sockets, no clocks. The rules are OpenIAP's: a message is
named by text in ``data.type_url``, a request has a fresh ``id``, its reply carries it as ``rid``.
"""

from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from worker.openiap.wire import openiap_pb2 as pb

TYPE_PREFIX: Final = "type.googleapis.com/openiap."
FLOW_METHOD: Final = "/openiap.FlowService/SetupStream"

M = TypeVar("M", bound=Message)


class WireError(Exception):
    """The peer sent bytes that are not the OpenIAP protocol."""


def message_name(envelope: pb.Envelope) -> str:
    """Return the bare name of the message inside, or "" where there is none."""
    return envelope.data.type_url.rpartition(".")[2]


def build(
    command: str,
    message: Message | None = None,
    *,
    id: str = "",
    rid: str = "",
    seq: int = 0,
    jwt: str = "",
    traceid: str = "",
    spanid: str = "",
) -> pb.Envelope:
    """Wrap ``message`` (or nothing) into an envelope for ``command``."""
    envelope = pb.Envelope(command=command, id=id, rid=rid, seq=seq)
    # Few have these, and each costs something.
    if jwt:
        envelope.jwt = jwt
    if traceid:
        envelope.traceid = traceid
    if spanid:
        envelope.spanid = spanid
    if message is not None:
        data = envelope.data
        data.type_url = TYPE_PREFIX + type(message).__name__
        data.value = message.SerializeToString()
    return envelope


def parse(data: bytes) -> pb.Envelope:
    """Decode one envelope.

    Raises:
        WireError: the bytes are not an envelope.
    """
    try:
        return pb.Envelope.FromString(data)
    except DecodeError as error:
        raise WireError(f"{len(data)} bytes that are not an OpenIAP envelope") from error


def unpack(envelope: pb.Envelope, kind: type[M]) -> M:
    """Decode the message inside as ``kind``; the name is the caller's business.

    Raises:
        WireError: the bytes inside are not such a message.
    """
    try:
        return kind.FromString(envelope.data.value)
    except DecodeError as error:
        raise WireError(f"{envelope.command}: the data is not a {kind.__name__}") from error
