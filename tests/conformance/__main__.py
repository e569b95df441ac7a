"""``python -m tests.conformance``: ask an OpenIAP what the worker relies on; see ``README.md``."""

import argparse
import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from tests.conformance.asking import ask_all
from tests.conformance.cleaning import FIRST_WORD, checked_prefix, clean, told
from tests.conformance.facts import Answer, Fact
from tests.conformance.page import page
from tests.conformance.sites import CALL, PACE, Lane, Login, Site, own_site, site_of
from tests.conformance.subjects import FACTS
from worker._version import __version__
from worker.openiap.errors import OpenIAPError

WELL, DIFFERENT, UNABLE, STOPPED = 0, 1, 2, 130
CLEANING: Final = 600.0


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    found = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description="Asks an OpenIAP that you may use what openiap-worker relies on, and removes"
        " what it made there. Without --url it starts and asks the local server.",
        epilog="Exit code: 0 all holds, 1 something differs, 2 it could not ask, 130 stopped.",
    )
    found.add_argument(
        "--url", action="append", default=[], help="ws(s)://… and grpc://…, once each"
    )
    found.add_argument(
        "--http-url", default="", help="where /download is, if not behind the ws URL"
    )
    found.add_argument("--username", default=os.environ.get("OPENIAP_USERNAME", ""))
    found.add_argument("--password", default=os.environ.get("OPENIAP_PASSWORD", ""))
    found.add_argument(
        "--second-user", type=_login, metavar="NAME:PASSWORD", help="an ordinary user, for rights"
    )
    found.add_argument(
        "--client", choices=("native", "official"), action="append", help="default: both"
    )
    found.add_argument(
        "--only", action="append", default=[], metavar="WORD", help="facts whose name has this word"
    )
    found.add_argument("--list", action="store_true", help="list the facts and ask nothing")
    found.add_argument("--page", type=Path, metavar="FILE", help="write what came out as Markdown")
    found.add_argument("--note", default="", metavar="TEXT", help="what the page is to say of it")
    found.add_argument(
        "--clean", type=_prefix, metavar="PREFIX", help="only remove what a run left"
    )
    found.add_argument(
        "--rate",
        type=float,
        default=PACE,
        help="messages a second and connection (default %(default)g)",
    )
    return found


def _login(text: str) -> Login:
    name, colon, password = text.partition(":")
    if not name or not colon or not password:
        raise argparse.ArgumentTypeError("give it as NAME:PASSWORD")
    return Login(name, password)


def _prefix(text: str) -> str:
    try:
        return checked_prefix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


async def run(given: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit code."""
    facts = [f for f in FACTS if not given.only or any(word in f.name for word in given.only)]
    if given.list:
        for fact in facts:
            print(f"{fact.name}: {fact.sentence}")
        return WELL
    async with AsyncExitStack() as stack:
        site = await _site(given, stack)
        if given.clean:
            return _cleaned(await clean(site, given.clean))
        lanes = site.lanes(*(given.client or ("native", "official")))
        prefix = f"{FIRST_WORD}{uuid4().hex[:8]}"
        print(f"Everything that is made begins with {prefix}", flush=True)
        began = datetime.now(UTC)
        async with _removed(site, prefix) as left:
            answers = await ask_all(site, facts, lanes, prefix, _say)
            about = await _about(site, lanes, given.note)
        counted = Counter(answer.verdict for answer in answers)
        if given.page:
            given.page.write_text(page(answers, about, began), encoding="utf-8")
        print(
            f"{counted['holds']} as said, {counted['differs']} different,"
            f" {counted['not asked']} not asked. {told(left)}"
        )
        return DIFFERENT if counted["differs"] or left else WELL


async def _site(given: argparse.Namespace, stack: AsyncExitStack) -> Site:
    if not given.url:
        if given.clean:
            raise ValueError("--clean needs --url: a server of our own leaves nothing")
        return await stack.enter_async_context(own_site())
    if not given.username or not given.password:
        raise ValueError("--username and --password are needed (or OPENIAP_USERNAME, …_PASSWORD)")
    first = Login(given.username, given.password)
    return site_of(given.url, first, given.second_user, given.http_url, given.rate)


@asynccontextmanager
async def _removed(site: Site, prefix: str) -> AsyncIterator[list[str]]:
    """Remove what was made, however the block ends; a second signal does not wait for it."""
    left: list[str] = []
    try:
        yield left
    finally:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        try:
            async with asyncio.timeout(CLEANING):
                left += await clean(site, prefix)
        except (OpenIAPError, TimeoutError) as error:
            why = str(error) or "it took too long"
            left.append(f"what begins with {prefix} ({why}); once more: --clean {prefix}")
            print(told(left), file=sys.stderr)


async def _about(site: Site, lanes: Sequence[Lane], note: str) -> dict[str, str]:
    client = site.client(lanes[0])
    try:
        await client.connect(timeout=CALL)
        config, user = client.server_config, client.user
    finally:
        await client.disconnect()
    kind = "the local server" if site.own else "OpenIAP"
    return {
        "server": f"{kind} {config.get('version', 'of an unknown version')}",
        "openiap-worker": __version__,
        "asked as": "an admin" if user and "admins" in user.roles else "an ordinary user",
        "second user": "an ordinary one" if site.second else "none",
        "clients": ", ".join(lane.name for lane in lanes),
        "messages a second": f"{site.pace:g} on each connection" if site.pace else "no limit",
        **({"note": note} if note else {}),
    }


def _say(answer: Answer) -> None:
    if answer.verdict == "differs":
        print(f"differs: {answer.fact.name} ({answer.lane}): {answer.got}", flush=True)


def _cleaned(left: Sequence[str]) -> int:
    print(told(left) or "Nothing is left.")
    return DIFFERENT if left else WELL


async def _main(given: argparse.Namespace) -> int:
    """Run until it is done or a signal comes; either way everything is removed."""
    work = asyncio.ensure_future(run(given))
    loop = asyncio.get_running_loop()
    stopped: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not stopped:
            print("Stopping, and removing what was made …", file=sys.stderr, flush=True)
            work.cancel()
        stopped.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        return await work
    except asyncio.CancelledError:
        if stopped:
            return STOPPED
        raise
    except (OpenIAPError, ValueError) as error:
        print(error, file=sys.stderr)
        return UNABLE


def main() -> int:
    """Return the exit code."""
    return asyncio.run(_main(parser().parse_args()))


__all__ = ["FACTS", "Fact", "main", "parser", "run"]

if __name__ == "__main__":
    sys.exit(main())
