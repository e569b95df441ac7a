"""The client outside of handlers: in async programs, beside pushes, in blocking code, in hooks."""

import asyncio
import queue
from typing import Any

import pytest

import worker
from tests.integration.engine.conftest import create_queue
from worker import Client, Event, NoProducer, Producer, handler, on_connected, sync
from worker.app.application import Application
from worker.openiap.errors import QueueNotFound
from worker.openiap.types import ClientEvent, QueueEvent, WatchEvent

SECONDS = 60


async def test_a_program_has_the_client_and_what_it_registers_survives_a_cut(
    settings, server, client
) -> None:
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()
    signed_in: asyncio.Queue[ClientEvent] = asyncio.Queue()

    async with worker.client(settings) as openiap:
        openiap.on_client_event(
            lambda event: signed_in.put_nowait(event) if event["event"] == "SignedIn" else None
        )
        async with asyncio.timeout(SECONDS):
            await signed_in.get()
            await openiap.register_queue(queuename="letters", callback=got.put_nowait)
            stored = await openiap.insert_one("things", {"n": 1})
            assert await openiap.query("things", {"_id": stored["_id"]}) == [stored]
            await server.drop_connections()
            await signed_in.get()
            # Waits for the link that is to come.
            await openiap.queue_message({"n": 2}, queuename="letters")
            assert (await got.get()).data == {"n": 2}


async def test_a_producer_has_the_client_of_its_connection(settings, client) -> None:
    await create_queue(client, "invoices")
    async with worker.connect(settings) as producer:
        pushed = await producer.push("invoices", {"n": 1})
        popped = await producer.client.pop_workitem("invoices")
        assert popped is not None
        assert popped.id == pushed.id


def test_a_producer_that_pushes_through_the_worker_says_where_a_client_is() -> None:
    with pytest.raises(NoProducer, match=r"worker\.client"):
        _ = Producer(object()).client  # type: ignore[arg-type]


async def test_blocking_code_has_every_call_of_the_client(settings, client) -> None:
    await create_queue(client, "invoices")
    loop = asyncio.get_running_loop()

    def script() -> None:
        openiap = sync.connect(settings)
        with pytest.raises(sync.Closed):
            openiap.client.count("things")
        with openiap:
            stored = openiap.client.insert_one("things", {"n": 1})
            assert openiap.client.count("things", {"_id": stored["_id"]}) == 1
            pushed = openiap.push("invoices", {"n": 1})
            popped = openiap.client.pop_workitem(wiq="invoices")
            assert popped.id == pushed.id
            openiap.client.update_workitem({"_id": popped.id, "state": "successful"})
            assert openiap.client.connected
            assert openiap.client.user.username
            assert openiap.client.stringify({"a": 1}) == '{"a":1}'
            with pytest.raises(QueueNotFound):
                openiap.client.pop_workitem("unknown")
            with pytest.raises(AttributeError, match="no 'nothing'"):
                openiap.client.nothing()
            with pytest.raises(AttributeError, match="owns the connection"):
                openiap.client.disconnect()
            assert "register_queue" in dir(openiap.client)

    await asyncio.to_thread(script)
    assert asyncio.get_running_loop() is loop


async def test_blocking_callbacks_may_block_and_use_the_client(settings, server, client) -> None:
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def script() -> None:
        with sync.connect(settings) as openiap:

            def seen(event: WatchEvent, event_counter: int) -> None:
                told.put((event.document["n"], event_counter, openiap.client.count("things")))

            def signed_in(event: ClientEvent) -> None:
                if event.get("event") == "SignedIn":
                    openiap.client.register_queue("letters", lambda letter: told.put(letter.data))
                    told.put("signed in")

            watchid = openiap.client.watch("things", [], seen)
            for number in (1, 2, 3):
                openiap.client.insert_one("things", {"n": number})
                assert told.get(timeout=SECONDS) == (number, number, number)
            openiap.client.unwatch(watchid)
            openiap.client.on_client_event(signed_in)
            assert told.get(timeout=SECONDS) == "signed in"
            asyncio.run_coroutine_threadsafe(server.drop_connections(), loop).result(SECONDS)
            assert told.get(timeout=SECONDS) == "signed in"
            openiap.client.queue_message({"n": 4}, "letters")
            assert told.get(timeout=SECONDS) == {"n": 4}

            async def inside(event: WatchEvent) -> None:
                try:
                    openiap.client.count("things")
                except worker.sync.Closed:
                    raise
                except Exception as error:
                    told.put(str(error))

            openiap.client.watch("others", [], inside)
            openiap.client.insert_one("others", {"n": 5})
            assert "async callback" in told.get(timeout=SECONDS)

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(script)


async def test_who_is_told_of_the_connection_is_given_the_client(start, client, server) -> None:
    await create_queue(client, "q")
    got: asyncio.Queue[QueueEvent] = asyncio.Queue()
    registered: asyncio.Queue[str] = asyncio.Queue()

    @on_connected
    async def listen(event: Event) -> None:
        assert event.client is not None
        registered.put_nowait(await event.client.register_queue("letters", got.put_nowait))

    @handler("q")
    async def work(payload: dict[str, Any], openiap: Client) -> None: ...

    await start(Application.of(work, listen))
    async with asyncio.timeout(SECONDS):
        assert await registered.get() == "letters"
        await server.drop_connections()
        assert await registered.get() == "letters"
        while True:  # the test's own client comes back by itself
            try:
                await client.queue_message({"n": 1}, "letters")
                break
            except worker.openiap.errors.NotConnected:
                await asyncio.sleep(0.05)
        assert (await got.get()).data == {"n": 1}
        assert got.empty()
