"""Payloads: what is stored of what is sent."""

from typing import Any

from tests.conformance.facts import Table
from tests.conformance.ground import Ground
from worker.openiap.wire import openiap_pb2 as pb

TABLE = Table("payloads")
fact = TABLE.fact
LARGE = 3 * 1024 * 1024
"""Characters; below what a gRPC client takes as it comes."""


async def stored(on: Ground, text: str) -> Any:
    """Push a payload's text as it is and return what became of it."""
    queue = await on.queue()
    request = pb.PushWorkitemRequest(wiq=queue.name, payload=text)
    reply = await on.ask("pushworkitem", request, pb.PushWorkitemResponse)
    return (await on.item(reply.workitem._id))["payload"]


@fact(
    "Objects and arrays are kept.", [{"a": {"b": [1, None, "ü€😀"]}}, [1, 2]], "native", once=True
)
async def kept(on: Ground) -> Any:
    texts = ('{"a": {"b": [1, null, "ü€😀"]}}', "[1, 2]")
    return [(await stored(on_another(on, n), text)) for n, text in enumerate(texts)]


@fact("A scalar becomes {value: …}.", [{"value": 7}, {"value": "x"}, {"value": True}], "native")
async def scalars(on: Ground) -> Any:
    return [await stored(on_another(on, n), text) for n, text in enumerate(("7", '"x"', "true"))]


@fact('null, false, 0 and "" become {}.', [{}, {}, {}, {}], "native", once=True)
async def nothings(on: Ground) -> Any:
    texts = ("null", "false", "0", '""')
    return [await stored(on_another(on, n), text) for n, text in enumerate(texts)]


@fact("A push whose payload is no JSON is refused.", True, "native", once=True)
async def no_json(on: Ground) -> Any:
    text = await on.refusal(stored(on, "{nothing"))
    return "JSON" in text and "not refused" not in text


@fact(
    "Numbers pass through JavaScript's: large ones lose digits, 1.0 becomes 1.",
    [12345678901234567000, 1, "int"],
    "native",
    once=True,
)
async def numbers(on: Ground) -> Any:
    queue = await on.queue()
    request = pb.PushWorkitemRequest(
        wiq=queue.name, payload='{"big": 12345678901234567890, "one": 1.0}'
    )
    await on.ask("pushworkitem", request, pb.PushWorkitemResponse)
    payload = (await on.popped(queue)).payload or {}
    return [int(payload["big"]), payload["one"], type(payload["one"]).__name__]


@fact("An update of null keeps the payload; other text replaces it.", [{"n": 1}, {"n": 2}])
async def updated(on: Ground) -> Any:
    item = await on.push(await on.queue(), {"n": 1})
    await on.update(item.id, "")
    first = (await on.item(item.id))["payload"]
    await on.update(item.id, "", payload={"n": 2})
    return [first, (await on.item(item.id))["payload"]]


@fact(
    "An update without a payload is refused.", "Unexpected end of JSON input", "native", once=True
)
async def update_without(on: Ground) -> Any:
    item = await on.push(await on.queue())
    request = pb.UpdateWorkitemRequest(workitem=pb.Workitem(_id=item.id, state="successful"))
    return await on.refusal(on.ask("updateworkitem", request, pb.UpdateWorkitemResponse))


@fact("A payload of 3 MiB goes there and back whole.", [LARGE, True])
async def large(on: Ground) -> Any:
    queue = await on.queue()
    text = ("0123456789abcdef" * (LARGE // 16))[:LARGE]
    await on.push(queue, {"text": text})
    got = ((await on.popped(queue)).payload or {}).get("text", "")
    return [len(got), got == text]


def on_another(on: Ground, number: int) -> Ground:
    """Return the ground with names of its own."""
    return Ground(on.crew, on.folder, f"{on.label}-{number}")
