"""``/livez`` tells the truth about a blocked loop, from outside the loop."""

import time
from pathlib import Path

import httpx

from tests.acceptance.clients import both_clients
from tests.acceptance.processes import free_port, until
from tests.acceptance.stage import Stage

BLOCKED = 9.0


@both_clients
async def test_livez_is_red_while_a_handler_blocks_the_loop_and_names_it(
    client: str, tmp_path: Path
) -> None:
    port = free_port()
    async with Stage(tmp_path, client=client) as stage, stage.outsider() as outsider:
        await outsider.queue("blocking", maxretries=3)
        worker = stage.worker("a", "blocking", health_port=port, call_timeout=20.0)
        await worker.started()
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            url = f"http://127.0.0.1:{port}/livez"
            seen: list[httpx.Response] = []

            async def answers(status: int) -> bool:
                seen.append(await http.get(url))
                return seen[-1].status_code == status

            assert await answers(200)
            pushed = await outsider.push("blocking", [{"seconds": BLOCKED}])
            await until("the handler runs", lambda: bool(stage.journal.notes("start")), 20)
            (start,) = stage.journal.notes("start")
            await until("it is red", lambda: answers(503), 8, every=0.1, tell=worker.tail)
            assert time.time() - start["at"] < 6.5
            assert "deeds.blocking" in seen[-1].text
            assert pushed[0] in seen[-1].text
            assert "time.sleep" in seen[-1].text
            await until("it is green again", lambda: answers(200), 15, tell=worker.tail)
        assert (await stage.settled("blocking", pushed, 30)).runs == (1,)
