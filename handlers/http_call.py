"""Call an HTTP service for each item, and know which answers are worth another try.

Try it::

    openiap-worker queues create http-calls --max-retries 5 --retry-delay 10
    openiap-worker push http-calls \\
        --payload '{"url": "http://localhost:8080/health", "method": "GET"}'
    openiap-worker run --handlers handlers.http_call --once

- 2xx: the item is successful; the answer is in its payload.
- 408, 425, 429, 500, 502, 503, 504, and no answer at all: the item is retried, at the time that
  the service names in ``Retry-After`` where it does and the client can (else by the queue).
- Any other status is final: a business error.
"""

import functools
import json
import ssl
from typing import Any, Final, Literal

import httpx
from pydantic import BaseModel, Field, HttpUrl

from worker import Backoff, BusinessError, Item, Retry, handler

AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
LARGEST_ANSWER: Final = 1024 * 1024
LONGEST_WAIT: Final = 3600


class Call(BaseModel):
    """What an item of the queue carries; ``timeout`` in seconds."""

    url: HttpUrl
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    body: Any = None
    headers: dict[str, str] = {}
    timeout: float = Field(default=20, gt=0, le=300)


class Answer(BaseModel):
    """What is laid over the payload."""

    status: int
    answer: Any


@handler(
    "http-calls",
    concurrency=16,
    timeout="6m",
    retry={httpx.TransportError: Backoff("5s", factor=3, max="10m")},
)
async def call_service(call: Call, item: Item) -> Answer:
    """Send one request. The item's id goes along, so that the service can tell a repeat."""
    headers = {**call.headers, "Idempotency-Key": item.id}
    async with (
        httpx.AsyncClient(verify=_tls(), timeout=call.timeout) as http,
        http.stream(call.method, str(call.url), json=call.body, headers=headers) as response,
    ):
        text = await _text(response)
    if response.is_success:
        return Answer(status=response.status_code, answer=_parsed(text))
    said = f"{call.method} {call.url.host} answered {response.status_code}: {text[:200]}"
    if response.status_code in AGAIN:
        raise Retry(after=_wait(response), reason=said)
    raise BusinessError(said, code=f"HTTP_{response.status_code}")


@functools.cache
def _tls() -> ssl.SSLContext:
    # Reading the system's certificates takes longer than most calls: once per process is enough.
    return ssl.create_default_context()


async def _text(response: httpx.Response) -> str:
    """Read the answer; a service that never stops sending must not fill the memory."""
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > LARGEST_ANSWER:
            raise BusinessError(
                f"the answer has more than {LARGEST_ANSWER} bytes", code="ANSWER_TOO_LARGE"
            )
    return content.decode(response.charset_encoding or "utf-8", "replace")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _wait(response: httpx.Response) -> float | None:
    """Return the seconds that ``Retry-After`` asks for; None leaves it to the queue."""
    named = response.headers.get("retry-after", "")
    return min(float(named), LONGEST_WAIT) if named.isdigit() else None
