"""Stored files over HTTP: ``GET /download/<id>`` with the bearer token, whole or not at all.

Source: server.md, Files: the official client truncates downloads above 255 KiB at random; over
HTTP the whole file comes every time. Imported when there is a file to fetch: an HTTP client takes
a worker longer to import than its engine.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from ssl import SSLContext
from typing import Final
from urllib.parse import quote, urlsplit

import httpx

from worker.openiap.errors import (
    AccessDenied,
    Disconnected,
    FileTransferError,
    NotConnected,
)
from worker.openiap.part_file import disk_refused
from worker.openiap.server_info import is_loopback

CHUNK: Final = 1 << 20
IDLE_SECONDS: Final = 30.0
REFUSED: Final = (401, 403, 500)
"""What a token is refused with: OpenIAP 1.5.10.62 answers 500 to one that is over or none at all,
proxies in front of it the others."""


class Download:
    """Fetches stored files of one server over HTTP.

    Args:
        web: ``http(s)://host[:port]``.
        verify: whom to trust; see ``server_info.trusted``.
    """

    def __init__(self, web: str, verify: SSLContext | bool) -> None:
        self._web = web
        address = urlsplit(web)
        here = is_loopback(address.hostname or "")
        # No TLS to this machine's http, and no proxy before it: to read the certificates that are
        # trusted takes some 25 ms.
        plain = here and address.scheme == "http"
        self._http = httpx.AsyncClient(
            timeout=IDLE_SECONDS, verify=False if plain else verify, trust_env=not here
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def fetch_signed_in(
        self, id: str, target: Path, token: str, renew: Callable[[], Awaitable[str]]
    ) -> None:
        """Like ``fetch``, with a fresh token when the present one is refused.

        Args:
            renew: signs in again and returns the new token; one lasts for minutes (server.md).

        Raises:
            FileTransferError: the new one is refused too, and what ``fetch`` says.
        """
        try:
            try:
                await self.fetch(id, token, target)
            except AccessDenied:
                await self.fetch(id, await renew(), target)
        except AccessDenied as error:
            raise FileTransferError(
                f"GET /download/{id}: {error.text}", operation="download"
            ) from None

    async def fetch(self, id: str, token: str, target: Path) -> None:
        """Write a stored file to ``target``, which must not be seen by others before it is checked.

        Args:
            id: the file's id in ``fs.files``.
            token: the jwt that ``signin`` returned; it is sent and never shown.

        Raises:
            AccessDenied: the token is not (or no longer) good for that.
            NotConnected: nobody answers HTTP there.
            Disconnected: the transfer broke.
            FileTransferError: another answer, or the local disk refused.
        """
        url = f"{self._web}/download/{quote(id, safe='')}"
        try:
            async with self._http.stream(
                "GET", url, headers={"Authorization": f"Bearer {token}"}
            ) as answer:
                if answer.status_code in REFUSED:
                    raise AccessDenied(f"HTTP {answer.status_code}", operation="download")
                if answer.status_code != 200:
                    raise FileTransferError(
                        f"GET /download/{id}: HTTP {answer.status_code}", operation="download"
                    )
                await _write(answer, target)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise NotConnected(f"{self._web}: {error}", operation="download") from None
        except httpx.HTTPError as error:
            raise Disconnected(
                f"GET /download/{id}: {error or type(error).__name__}", operation="download"
            ) from None


async def _write(answer: httpx.Response, target: Path) -> None:
    try:
        with await asyncio.to_thread(target.open, "wb") as file:
            async for chunk in answer.aiter_bytes(CHUNK):
                await asyncio.to_thread(file.write, chunk)
    except OSError as error:
        raise disk_refused(error) from None
