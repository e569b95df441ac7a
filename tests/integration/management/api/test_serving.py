"""``openiap-worker api`` as a process: where it may listen, over what, and how it stops."""

import asyncio
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from worker.management.api.server import LOOPBACK_NAMES, Serving, ServingError
from worker.testing.local_openiap import LocalOpenIAP


@asynccontextmanager
async def command(
    openiap: LocalOpenIAP, *options: str, output: Path | None = None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run the command; gives the process and its address once it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "worker", "api", "--port", "0", "--json", *options),
        env={**os.environ, "OPENIAP_URL": openiap.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if output is None else output.open("wb"),
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        yield process, json.loads(line)["url"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def boss(openiap: LocalOpenIAP) -> dict[str, str]:
    environment = openiap.environment
    return {
        "username": environment["OPENIAP_USERNAME"],
        "password": environment["OPENIAP_PASSWORD"],
    }


@pytest.mark.dear
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_it_stops_soon_whatever_goes_on(
    openiap: LocalOpenIAP, tmp_path: Path, how: signal.Signals
) -> None:
    log = tmp_path / "log"
    async with (
        command(openiap, output=log) as (process, url),
        httpx.AsyncClient(timeout=60) as http,
    ):
        token = (await http.post(f"{url}/session", json=boss(openiap))).json()["token"]
        headers = {"authorization": f"Bearer {token}"}
        assert (await http.get(f"{url}/items", headers=headers)).status_code == 200
        openiap.faults.delay["count"] = 20.0
        waiting = asyncio.ensure_future(http.get(f"{url}/items", headers=headers))
        while openiap.server.stats.get("count", 0) < 2:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        process.send_signal(how)
        code = await process.wait()
        seconds = time.monotonic() - began
        (told,) = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(told, httpx.TransportError) or told.status_code == 503
        assert code == 0
        assert seconds < 10.0, "and not the 20 of the call: two on a machine with time"
    assert "Traceback" not in log.read_text()
    assert boss(openiap)["password"] not in log.read_text()


@pytest.mark.dear
async def test_it_serves_https_with_a_certificate(openiap: LocalOpenIAP, tmp_path: Path) -> None:
    authority = trustme.CA()
    made = authority.issue_cert("localhost", "127.0.0.1")
    certificate, key, trusted = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    made.cert_chain_pems[0].write_to_path(certificate)
    made.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(trusted)
    options = ("--certificate", str(certificate), "--key", str(key))
    async with command(openiap, *options) as (_, url):
        assert url.startswith("https://")
        async with httpx.AsyncClient(
            verify=ssl.create_default_context(cafile=str(trusted)), timeout=60
        ) as http:
            wanted = {**boss(openiap), "cookie": True}
            answer = await http.post(f"{url}/session", json=wanted)
            assert answer.headers["set-cookie"].startswith("__Host-")
            own = {"origin": url.removesuffix("/api/v1")}
            assert (await http.delete(f"{url}/session", headers=own)).status_code == 204
    swapped = Serving(certificate=key, key=certificate)
    with pytest.raises(ServingError, match="no pair of certificate and unencrypted key"):
        swapped.check()
    with pytest.raises(ServingError, match=r"gone\.pem: No such file"):
        Serving(certificate=certificate, key=tmp_path / "gone.pem").check()
    with pytest.raises(ServingError, match="give both"):
        Serving(certificate=certificate).check()


def test_it_listens_beyond_this_machine_over_tls_alone() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.com"):
        with pytest.raises(ServingError, match="give --certificate and --key, or --behind-proxy"):
            Serving(host=host).check()
        Serving(host=host, behind_proxy=True).check()
        assert Serving(host=host, behind_proxy=True).hosts is None
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        Serving(host=host).check()
        assert Serving(host=host).hosts == LOOPBACK_NAMES | {host}
